"""Which members are trained together: new ones spread over the devices, those of an interrupted training as they were.

A member's numbers depend on its company by rounding, so a training that goes on keeps its groups.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.run_folder import RunFolder

TRAINING: Final = "training"
"""The key of the run's record that tells its unfinished training; also the state of a run that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The groups of one training, in numbers that its events bear, and its own name."""

    id: str
    seeds: tuple[tuple[int, ...], ...]

    @staticmethod
    def new(seeds: Sequence[int], parts: int) -> "Groups":
        """Spread seeds that were never begun."""
        return Groups(id=uuid.uuid4().hex[:12], seeds=tuple(spread(seeds, parts)))

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"id": self.id, "groups": [list(group) for group in self.seeds]}

    def only(self, seeds: Collection[int]) -> "Groups | None":
        """Return the groups of these seeds, under their numbers; None where there is none."""
        left = tuple(group if set(group) & set(seeds) else () for group in self.seeds)
        return Groups(id=self.id, seeds=left) if any(left) else None

    def numbered(self, missing: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """Return, by their numbers, the groups that have a member to train."""
        return {number: group for number, group in enumerate(self.seeds) if set(group) & set(missing)}


def spread(seeds: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Return the seeds in at most so many shares whose sizes differ by one at most; no share is empty."""
    return [tuple(seeds[part::parts]) for part in range(min(parts, len(seeds)))]


def interrupted(record: Mapping[str, Any]) -> Groups | None:
    """Return the groups of the training that a run's record says is unfinished, None where there is none.

    Raises:
        IntegrityError: the record tells it in no way that this version writes.
    """
    told = record.get(TRAINING)
    if told is None:
        return None
    try:
        return Groups(id=str(told["id"]), seeds=tuple(tuple(int(seed) for seed in group) for group in told["groups"]))
    except (KeyError, TypeError, ValueError):
        raise IntegrityError("run.json: its unfinished training cannot be read; restore it or delete it") from None


def check_nothing_is_lost(groups: Groups, config: Config) -> None:
    """Refuse to leave aside what is kept of members that are not asked for any more.

    Raises:
        ConfigError: there is such a group.
    """
    folder = RunFolder(config.output_dir)
    for group in groups.seeds:
        if group and folder.group_checkpoints(group[0]).is_dir() and not set(group) <= set(config.member_seeds):
            raise ConfigError(
                f"seeds: {folder.checkpoints} holds an interrupted training of the seeds {list(group)} together, and "
                f"not all of them are asked for now ({list(config.member_seeds)}); put them back to continue it, "
                "begin anew with `--set resume=false`, or use another output_dir"
            )
