"""The bags of a design: which rows each member is trained on, and which it leaves out."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.utils.seeding import derive_seed


@dataclass(frozen=True, kw_only=True, eq=False)
class Bags:
    """Which of N training rows each of M members leaves out; it is trained on all others."""

    design: BagDesign
    left_out_MN: NDArray[np.bool_]
    """By the design's seeds."""

    def left_out_of(self, seed: int) -> NDArray[np.bool_]:
        """Return, for every row, whether the member of this seed leaves it out."""
        left_out_N: NDArray[np.bool_] = self.left_out_MN[self.design.seeds.index(seed)]
        return left_out_N

    def rows_of(self, seed: int) -> NDArray[np.int64]:
        """Return the rows that the member of this seed is trained on, in their order."""
        return np.flatnonzero(~self.left_out_of(seed))

    def digest_of(self, seed: int) -> str:
        """Return the SHA-256 of which rows the member of this seed leaves out."""
        left_out_N = self.left_out_of(seed)
        return hashlib.sha256(f"{len(left_out_N)}/".encode() + np.packbits(left_out_N).tobytes()).hexdigest()

    @property
    def smallest(self) -> int:
        """How many rows the member with the fewest is trained on; the others have one more at most."""
        return int((~self.left_out_MN).sum(axis=1).min())


def draw_bags(design: BagDesign, rows: int) -> Bags:
    """Draw the bags: every row out of exactly `design.out` members, every member without equally many rows.

    Row after row, in a random order, goes to the members that have left out the fewest so far, chance deciding between
    equals: so members' numbers never differ by more than one.

    Raises:
        DataError: a member would be without any row.
    """
    design.smallest_bag(rows)
    rng = np.random.default_rng(derive_seed(design.seed, "bootstrap", *design.seeds))
    counts_M = np.zeros(len(design.seeds), dtype=np.int64)
    left_out_MN = np.zeros((len(design.seeds), rows), dtype=np.bool_)
    for row in rng.permutation(rows).tolist():
        fewest = np.argsort(counts_M + rng.random(len(counts_M)))[: design.out]
        counts_M[fewest] += 1
        left_out_MN[fewest, row] = True
    return Bags(design=design, left_out_MN=left_out_MN)
