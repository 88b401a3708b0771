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
    """S sequences padded on the right to P places: which rows of the pack are in them.

    `rows_SP` are rows of the pack, padding repeats the sequence's own last row and is at `padding_R` of the S * P
    places. `sequences_S` are indices of sequences, `lengths_S` their lengths.
    """

    rows_SP: Tensor
    padding_R: Tensor
    sequences_S: Tensor
    lengths_S: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """All buckets of a pack, and the way back from their places, bucket after bucket, to the pack's order.

    `places_T` says at which place each of the T tokens is, `places_B` the same of the B sequences.
    """

    each: tuple[Bucket, ...]
    places_T: Tensor
    places_B: Tensor


def make_buckets(lengths_B: NDArray[np.int64]) -> Buckets:
    """Put the B sequences of a pack, laid end to end, into buckets."""
    starts_B = np.cumsum(lengths_B) - lengths_B
    padded_B = np.array([padded_length(length) for length in lengths_B.tolist()])
    groups: list[NDArray[np.int64]] = []
    for padded in np.unique(padded_B).tolist():
        own = np.flatnonzero(padded_B == padded)
        while own.size:
            count = 1 << (min(own.size, max(1, TOKENS_AT_ONCE // padded)).bit_length() - 1)
            groups.append(own[:count])
            own = own[count:]
    order_B = np.concatenate(groups)
    first_places_B = np.empty_like(starts_B)
    first_places_B[order_B] = np.cumsum(padded_B[order_B]) - padded_B[order_B]
    places_T = np.arange(lengths_B.sum()) + np.repeat(first_places_B - starts_B, lengths_B)
    return Buckets(
        each=tuple(_bucket(own, starts_B, lengths_B, padded_B[own[0]]) for own in groups),
        places_T=torch.from_numpy(places_T),
        places_B=torch.from_numpy(np.argsort(order_B)),
    )


def padded_length(length: int) -> int:
    """Return the length to which a sequence is padded: eight steps between a power of two and the next."""
    step = max(8, 1 << max(0, (length - 1).bit_length() - 4))
    return -(-length // step) * step


def _bucket(
    sequences_S: NDArray[np.int64], starts_B: NDArray[np.int64], lengths_B: NDArray[np.int64], padded: int
) -> Bucket:
    lengths_S1 = lengths_B[sequences_S, None]
    places_P = np.arange(padded)
    arrays = {
        "rows_SP": starts_B[sequences_S, None] + np.minimum(places_P, lengths_S1 - 1),
        "padding_R": np.flatnonzero(places_P >= lengths_S1),
        "sequences_S": sequences_S,
        "lengths_S": lengths_S1[:, 0],
    }
    return Bucket(**{name: torch.from_numpy(array) for name, array in arrays.items()})
