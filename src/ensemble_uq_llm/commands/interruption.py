"""What Ctrl-C, SIGTERM and SIGHUP leave: what is kept is named, with the command that continues."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from typer.core import TyperGroup

from ensemble_uq_llm.errors import InterruptedRunError
from ensemble_uq_llm.utils.provenance import command_line
from ensemble_uq_llm.utils.text import enumerated

if TYPE_CHECKING:
    from ensemble_uq_llm.run_folder import RunFolder

_AGAIN: Final = "; continue with: "


class InterruptibleCommands(TyperGroup):
    """Commands of which any may be asked to stop: that is an error of ours with its own exit code, not typer's 130."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Read the command line."""
        with _naming_interruptions():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with _naming_interruptions():
            return super().invoke(ctx)


@contextmanager
def _naming_interruptions() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"{_stopped(error)}; nothing was written; run the same command again") from None


@dataclass(frozen=True, slots=True)
class _Written:
    """When each artefact of a run was last written, by how a sentence names it."""

    members: dict[str, int]
    sets: dict[str, int]
    metrics: dict[str, int]
    steps: dict[str, int]
    """The newest step that is kept of each group's training."""
    parts: dict[str, int]
    """The sets of whose predictions a part is kept."""
    answers: dict[str, int]
    """The questions to which answers are kept: to all of them, or to a part."""


@contextmanager
def telling_what_is_kept(folder: "RunFolder", *, resume: bool = True) -> Iterator[None]:
    """Within it a request to stop ends in an error that says what this command has kept in a run folder by then.

    `resume` is the configuration's: a command that begins anew does not continue what it has left, unless told to.

    Raises:
        InterruptedRunError: instead of the KeyboardInterrupt.
    """
    before = _written(folder)
    try:
        yield
    except KeyboardInterrupt as error:
        told = _in_words(before, _written(folder), folder, resume=resume)
        raise InterruptedRunError(f"{_stopped(error)}; {told}") from None


def _stopped(error: KeyboardInterrupt) -> str:
    return f"stopped by {error}" if str(error) else "interrupted"


def _written(folder: "RunFolder") -> _Written:
    def times(pattern: str) -> dict[str, int]:
        return {path.stem: path.stat().st_mtime_ns for path in sorted(folder.root.glob(pattern))}

    return _Written(
        members={each.title: folder.member_record(each).stat().st_mtime_ns for each in folder.members()},
        sets=times("predictions/[!.]*.parquet"),
        metrics=times("metrics/[!.]*.json"),
        steps=folder.kept_steps(),
        parts=_parts_of(folder, "predictions"),
        answers=times("answers/[!.]*.csv") | _parts_of(folder, "answers"),
    )


def _parts_of(folder: "RunFolder", kind: str) -> dict[str, int]:
    return {
        path.name: max(part.stat().st_mtime_ns for part in path.iterdir())
        for path in sorted(folder.checkpoints.glob(f"{kind}/*"))
        if any(path.rglob("rows_*"))
    }


def _in_words(before: _Written, after: _Written, folder: "RunFolder", *, resume: bool) -> str:
    members = _new(before.members, after.members)
    sets, metrics = _new(before.sets, after.sets), _new(before.metrics, after.metrics)
    parts = _new(before.parts, after.parts)
    kept = [f"the members of {enumerated(members)}"] if members else []
    kept += [f"training up to step {_range(after.steps.values())}"] if after.steps else []
    kept += [f"the predictions of {enumerated(sets)}"] if sets else []
    kept += [f"a part of the predictions of {enumerated(parts)}"] if parts else []
    answers = _new(before.answers, after.answers)
    kept += [f"answers to {enumerated(answers)}"] if answers else []
    kept += [f"the metrics of {enumerated(metrics)}"] if metrics else []
    if kept:
        continuing = " --set resume=true" if after.steps and not resume else ""
        return f"kept in {folder.root}: {enumerated(kept)}{_AGAIN}{command_line()}{continuing}"
    earlier = "; what was there before is unchanged" if before.members or before.sets else ""
    return f"nothing was finished, so nothing is kept{earlier}{_AGAIN}{command_line()}"


def _new(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [name for name, time in after.items() if before.get(name) != time]


def _range(steps: Collection[int]) -> str:
    """Say how far groups of members are, each by itself."""
    first, last = min(steps), max(steps)
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
