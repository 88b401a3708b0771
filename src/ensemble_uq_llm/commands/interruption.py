"""What Ctrl-C leaves: what was written by then is named, and nothing else is promised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ensemble_uq_llm.errors import InterruptedRunError
from ensemble_uq_llm.utils.text import enumerated

if TYPE_CHECKING:
    from ensemble_uq_llm.run_folder import RunFolder

AGAIN: Final = "; run the same command again"


@dataclass(frozen=True, slots=True)
class _Written:
    """When each artefact of a run was last written, by how a sentence names it."""

    members: dict[str, int]
    sets: dict[str, int]
    metrics: dict[str, int]


@contextmanager
def telling_what_is_kept(folder: "RunFolder") -> Iterator[None]:
    """Within it Ctrl-C ends in an error that says what this command wrote into a run folder until then.

    Raises:
        InterruptedRunError: instead of the KeyboardInterrupt.
    """
    before = _written(folder)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(_in_words(before, _written(folder), folder)) from None


def _written(folder: "RunFolder") -> _Written:
    def times(pattern: str) -> dict[str, int]:
        return {path.stem: path.stat().st_mtime_ns for path in sorted(folder.root.glob(pattern))}

    return _Written(
        members={each.title: folder.member_record(each).stat().st_mtime_ns for each in folder.members()},
        sets=times("predictions/[!.]*.parquet"),
        metrics=times("metrics/[!.]*.json"),
    )


def _in_words(before: _Written, after: _Written, folder: "RunFolder") -> str:
    members = _new(before.members, after.members)
    sets, metrics = _new(before.sets, after.sets), _new(before.metrics, after.metrics)
    kept = [f"the members of {enumerated(members)}"] if members else []
    kept += [f"the predictions of {enumerated(sets)}"] if sets else []
    kept += [f"the metrics of {enumerated(metrics)}"] if metrics else []
    if kept:
        return f"interrupted; written to {folder.root} by then: {enumerated(kept)}{AGAIN}"
    earlier = "; what was there before is unchanged" if before.members or before.sets else ""
    return f"interrupted; nothing was finished, so nothing is kept{earlier}{AGAIN}"


def _new(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [name for name, time in after.items() if before.get(name) != time]
