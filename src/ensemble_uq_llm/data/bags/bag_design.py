"""`bootstrap: balanced`: each training row is left out of equally many members, which then predict it honestly.

A bag is drawn without replacement: a row is in it once, or not at all. So all members see equally many rows in an
epoch, no row counts twice, and every row is out of exactly so many members. A bootstrap with replacement leaves a row
out of a random number of members, of ten now and then out of none (0.63^10: one row in a hundred).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.text import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class BagDesign:
    """What the members' bags follow from, beside the number of rows: the whole list of members, in whatever order."""

    seeds: tuple[int, ...]
    """Of all members, by size: which rows one of them leaves out depends on the others."""
    out: int
    """How many members each row is left out of."""
    seed: int
    """Of the draw."""

    def smallest_bag(self, rows: int) -> int:
        """Return how many of so many rows the member with the fewest is trained on; the others have one more at most.

        Raises:
            DataError: it would have none.
        """
        members = len(self.seeds)
        smallest = rows - -(-rows * self.out // members)
        if smallest < 1:
            raise DataError(
                f"bootstrap: {counted(rows, 'training example')}, each left out of {self.out} of {members} members, "
                "leave a member without any; give more examples, or lower bootstrap_out"
            )
        return smallest

    def as_json(self) -> dict[str, Any]:
        """Return plain values, as a member's record holds them."""
        return asdict(self) | {"seeds": list(self.seeds)}

    @staticmethod
    def of_json(values: Mapping[str, Any]) -> "BagDesign":
        """Return what `as_json` gave; raises KeyError, TypeError or ValueError where these are no such values."""
        seeds = tuple(int(seed) for seed in values["seeds"])
        return BagDesign(seeds=seeds, out=int(values["out"]), seed=int(values["seed"]))


def design_of(config: Config) -> BagDesign | None:
    """Return the design that a configuration asks for; None where every member is trained on all rows."""
    if config.bootstrap is None:
        return None
    members = len(config.member_seeds)
    out = min(max(1, round(config.bootstrap_out * members)), members - 1)
    return BagDesign(seeds=tuple(sorted(config.member_seeds)), out=out, seed=config.calibration_seed)


def rows_an_epoch(config: Config, rows: int) -> int:
    """Return how many of so many training rows a member sees in an epoch, one more or less.

    Raises:
        DataError: as `smallest_bag`.
    """
    design = design_of(config)
    return rows if design is None else design.smallest_bag(rows)
