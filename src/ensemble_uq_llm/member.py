"""Who a member of an ensemble is: its seed, and which sample of what that seed trained."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.text import clipped

_FOLDER = re.compile(r"seed_(0|[1-9][0-9]*)(?:_sample_([1-9][0-9]*))?")


@dataclass(frozen=True, order=True, slots=True)
class MemberId:
    """The identity of a member, from the stack of adapters to the report.

    Training makes sample 0 of every seed; a posterior over a trained member's weights adds further samples.
    Identities sort by seed, then by sample.

    Raises:
        ConfigError: a number that cannot name a folder of its own.
    """

    seed: int
    sample: int = 0

    def __post_init__(self) -> None:
        for name in ("seed", "sample"):
            number: object = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, Integral) or int(number) < 0:
                raise ConfigError(f"MemberId: {name} must be a whole number of at least 0, found {clipped(number)}")

    @property
    def title(self) -> str:
        """How a message or a table names the member: `seed 42`, or `seed 42, sample 3`."""
        return f"seed {self.seed}" + (f", sample {self.sample}" if self.sample else "")

    @property
    def folder_name(self) -> str:
        """The name of its adapter folder in a run: `seed_42`, or `seed_42_sample_3`."""
        return f"seed_{self.seed}" + (f"_sample_{self.sample}" if self.sample else "")


def trained(seeds: Iterable[int]) -> tuple[MemberId, ...]:
    """Return the members that training makes of these seeds, in their order."""
    return tuple(MemberId(seed) for seed in seeds)


def by_member(values: Mapping[str, str]) -> dict[MemberId, str]:
    """Return by its member what a record says by adapter folders' names; names of another form are passed over."""
    found = {member_of_folder(name): value for name, value in values.items()}
    return {member: value for member, value in found.items() if member is not None}


def member_of_folder(name: str) -> MemberId | None:
    """Return whose adapter folder bears this name; None for a name of another form."""
    match = _FOLDER.fullmatch(name)
    return None if match is None else MemberId(int(match[1]), int(match[2] or 0))
