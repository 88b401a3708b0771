"""What a run of samples says of itself: the maker, the parents, and what its samples cost."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.text import counted

POSTERIOR: Final = "posterior"
"""The key of `run.json` that says that a folder holds samples, and no members that were trained there."""

FEWEST_MODES: Final = 4
"""Fewer trained members than that, and mutual information tells other data worse than the entropy of one of them."""

FEWEST_SAMPLES: Final = 5
"""Of S samples the spread is 1 - 1/S of the maker's own; with fewer than five more than a fifth is lost."""


@dataclass(frozen=True, kw_only=True)
class PosteriorRecord:
    """How the samples of a run were made."""

    maker: str
    settings: Mapping[str, Any]
    samples: int
    """Of each parent."""
    generator_seed: int
    parents: Mapping[str, str]
    """The SHA-256 of each parent's weights, by the name that its folder has in a run."""
    parent_run: str | None = None
    """The folder of the run that trained the parents; None where adapters were given."""
    seconds: float = 0.0
    """What making took."""

    @property
    def passes(self) -> int:
        """How often a row goes through the model when it is predicted."""
        return len(self.parents) * self.samples

    def is_made_like(self, other: "PosteriorRecord") -> bool:
        """Whether the samples are the same ones: all but the time, and where the parents lie, agrees."""
        apart = dict.fromkeys(("seconds", "parent_run"))
        return asdict(self) | apart == asdict(other) | apart

    def cautions(self) -> Iterator[str]:
        """Yield in words why mutual information is worth less here than it seems."""
        modes = len(self.parents)
        if modes < FEWEST_MODES:
            yield (
                f"mutual information over samples of {counted(modes, 'trained member')} tells other data worse than "
                f"the entropy of the mean does; train {FEWEST_MODES} members or more before relying on it"
            )
        if self.samples < FEWEST_SAMPLES:
            yield (
                f"{counted(self.samples, 'sample')} of a member {'shows' if self.samples == 1 else 'show'} "
                f"{1 - 1 / self.samples:.0%} of the spread that its maker gives it; ask for {FEWEST_SAMPLES} or more"
            )


_FORM: Final = TypeAdapter(PosteriorRecord)


def posterior_of(record: Mapping[str, Any]) -> PosteriorRecord | None:
    """Return how a run's samples were made, from its record; None where it holds none.

    Raises:
        IntegrityError: the record says it in another form.
    """
    if POSTERIOR not in record:
        return None
    try:
        return _FORM.validate_python(record[POSTERIOR])
    except ValidationError as error:
        wrong = error.errors()[0]
        raise IntegrityError(
            f"run.json: {POSTERIOR}.{'.'.join(map(str, wrong['loc']))} is not what a maker writes; restore the file"
        ) from None


def warn_of_few(root: Path, posterior: PosteriorRecord) -> None:
    """Warn of what the samples in a folder are worth less in than it seems; one process says it once."""
    for caution in posterior.cautions():
        warnings.warn(f"{root}: {caution}", stacklevel=1)  # always from here, so that it is not said again


def has_looked_at(folder: RunFolder, data_digest: str) -> bool:
    """Tell whether the maker of a folder's samples has chosen something by these rows, as the samples' records say.

    Raises:
        IntegrityError: a record is altered or torn.
    """
    if posterior_of(folder.record()) is None:
        return False
    remedy = "restore the file, or make the samples again in another folder"
    records = (folder.read_object(folder.member_record(each), remedy=remedy) for each in folder.members())
    facts = (record.get("facts") for record in records)
    return any(data_digest in each.values() for each in facts if isinstance(each, dict))


def posterior_folder(run: Path, maker: str) -> Path:
    """Return where a maker's samples of a run's members lie, where nobody says otherwise: beside the run."""
    return run.with_name(f"{run.name}_{maker}")


def title_of(folder: RunFolder) -> str | None:
    """Return in words what samples a folder holds, and of what; None where it holds none."""
    posterior = posterior_of(folder.record())
    if posterior is None:
        return None
    of = f"the members of {posterior.parent_run}" if posterior.parent_run else "given adapters"
    return f"samples made by {posterior.maker} of {of}"
