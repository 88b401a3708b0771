"""Sequences of nearly equal length side by side: attention of many short sequences as few batched products.

How a sequence is padded depends on its own length alone, so its arithmetic does not depend on its company. Padded
lengths and counts come from a small set, because a CPU's matrix library prepares every new shape anew.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOKENS_AT_ONCE = 4096
"""Padded tokens of a bucket at most (one sequence may have more): its products should stay in the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """S sequences padded on the right to P places: where in the pack their tokens are.

    `rows_SP` are rows of the pack, padding repeats the sequence's own last row. The R places that are not padding
    are `places_R` of the S * P, and hold the pack's `real_rows_R`. `sequences_S` are indices of sequences.
    """

    rows_SP: Tensor
    places_R: Tensor
    real_rows_R: Tensor
    sequences_S: Tensor
    lengths_S: Tensor


def make_buckets(lengths_B: NDArray[np.int64]) -> tuple[Bucket, ...]:
    """Put the B sequences of a pack, laid end to end, into buckets."""
    starts_B = np.cumsum(lengths_B) - lengths_B
    padded_B = np.array([padded_length(length) for length in lengths_B.tolist()])
    buckets = []
    for padded in np.unique(padded_B).tolist():
        own = np.flatnonzero(padded_B == padded)
        while own.size:
            count = 1 << (min(own.size, max(1, TOKENS_AT_ONCE // padded)).bit_length() - 1)
            buckets.append(_bucket(own[:count], starts_B, lengths_B, padded))
            own = own[count:]
    return tuple(buckets)


def padded_length(length: int) -> int:
    """Return the length to which a sequence is padded: eight steps between a power of two and the next."""
    step = max(8, 1 << max(0, (length - 1).bit_length() - 4))
    return -(-length // step) * step


def _bucket(
    sequences_S: NDArray[np.int64], starts_B: NDArray[np.int64], lengths_B: NDArray[np.int64], padded: int
) -> Bucket:
    lengths_S1 = lengths_B[sequences_S, None]
    places_P = np.arange(padded)
    rows_SP = starts_B[sequences_S, None] + np.minimum(places_P, lengths_S1 - 1)
    places_R = np.flatnonzero(places_P < lengths_S1)
    arrays = {
        "rows_SP": rows_SP,
        "places_R": places_R,
        "real_rows_R": rows_SP.ravel()[places_R],
        "sequences_S": sequences_S,
        "lengths_S": lengths_S1[:, 0],
    }
    return Bucket(**{name: torch.from_numpy(array) for name, array in arrays.items()})
