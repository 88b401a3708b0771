"""When two computed numbers are the same: the one rule by which ties, edges and thresholds are decided.

Numbers that are equal on paper differ in their last digits once they are computed: 0.1 + 0.2 is not 0.3, and a sum
depends on the order of its terms. Whatever ranks, bins or compares numbers asks here first, so that such digits decide
nothing. The tolerance is that of the coarsest numbers that come in, probabilities of 32 bits; where scores lie all over
their range it makes one tie in ten sets of a thousand examples.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDING: Final = 2.0**-22
"""The relative difference up to which two numbers are the same: two units in the last place of 32 bits, 2.4e-7."""


def snapped(values_N: NDArray[np.float64], *, unit: float = 0.0) -> NDArray[np.float64]:
    """Return the values, those made equal that differ by rounding alone.

    From the lowest value up, whatever exceeds it by no more than `ROUNDING` is taken for it, then the next
    begins: so values of a grid tie exactly, no group is wider than the tolerance however dense the values are, and
    the order of the examples plays no part. (Rounding to so many digits would part neighbours at its own edges.)

    Args:
        values_N: any finite numbers.
        unit: the size below which a difference counts beside it, not beside the values: 1 for logarithms, whose
            differences are relative ones already; 0 where small values mean something.
    """
    sorted_G, group_N = np.unique(values_N, return_inverse=True)
    allowed_G = ROUNDING * np.maximum(np.abs(sorted_G), unit)
    first_G = sorted_G.copy()
    for g in np.flatnonzero(np.diff(sorted_G) <= allowed_G[:-1]).tolist():
        if sorted_G[g + 1] - first_G[g] <= ROUNDING * max(abs(first_G[g]), unit):
            first_G[g + 1] = first_G[g]
    equal_N: NDArray[np.float64] = first_G[group_N.reshape(values_N.shape)]
    return equal_N


def at_most(values: NDArray[np.float64], threshold: NDArray[np.float64], *, unit: float = 0.0) -> NDArray[np.bool_]:
    """Return where values are at most a threshold, or beyond it by rounding alone; `unit` is that of `snapped`."""
    within: NDArray[np.bool_] = values <= threshold + ROUNDING * np.maximum(np.abs(threshold), unit)
    return within


def difference(first: NDArray[np.float64] | float, second: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return first minus second; exactly 0 where they differ by rounding alone."""
    gap = np.subtract(first, second)
    return np.where(np.abs(gap) <= ROUNDING * np.maximum(np.abs(first), np.abs(second)), 0.0, gap)


def bin_of(values_N: NDArray[np.float64], inner_edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return each value's bin; a value on an edge, up to rounding, belongs to the bin above it.

    Args:
        values_N: at least 0.
        inner_edges: ascending and above 0: one fewer than there are bins.
    """
    return np.searchsorted(inner_edges * (1 - ROUNDING), values_N, side="right")


def most_probable(log_probs: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the most probable class over the last axis: the lowest index where several are, up to rounding."""
    nearly_best = log_probs >= log_probs.max(axis=-1, keepdims=True) - ROUNDING
    return nearly_best.argmax(axis=-1)
