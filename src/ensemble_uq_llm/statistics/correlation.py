"""Correlation of two values per example, as statistics."""

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.statistics.statistic import Statistic

_ROUNDING = 1e-12  # a variance this small beside the squares that it comes from is rounding


def correlation(first_N: NDArray[np.float64], second_N: NDArray[np.float64]) -> Statistic:
    """Return the Pearson correlation of two values per example; undefined where one of them is constant."""
    # Centred first, so that no digits are lost where the spread is small beside the values.
    first_N, second_N = first_N - first_N.mean(), second_N - second_N.mean()
    moments_N5 = np.stack([first_N, second_N, first_N**2, second_N**2, first_N * second_N], axis=1)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        mean_D5 = weights_DN @ moments_N5 / weights_DN.sum(axis=1, keepdims=True)
        means_D2, squares_D2 = mean_D5[:, :2], mean_D5[:, 2:4]
        variances_D2 = squares_D2 - means_D2**2
        variances_D2[variances_D2 <= _ROUNDING * squares_D2] = np.nan
        correlation_D: NDArray[np.float64] = mean_D5[:, 4] - means_D2.prod(axis=1)
        return correlation_D / np.sqrt(variances_D2.prod(axis=1))

    return statistic


def rank_correlation(first_N: NDArray[np.float64], second_N: NDArray[np.float64]) -> Statistic:
    """Return the Spearman correlation of two values per example: that of their average ranks.

    An example of weight w counts as w examples of equal value. Undefined where one of the values is constant.
    Source: Spearman 1904; ties as in Kendall and Gibbons 1990, chapter 3.
    """
    first, second = _AverageRanks(first_N), _AverageRanks(second_N)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        first_DN, second_DN = first.centred(weights_DN), second.centred(weights_DN)
        above_D = np.einsum("dn,dn,dn->d", weights_DN, first_DN, second_DN)
        below_D = np.einsum("dn,dn,dn->d", weights_DN, first_DN, first_DN)
        below_D *= np.einsum("dn,dn,dn->d", weights_DN, second_DN, second_DN)
        return np.divide(above_D, np.sqrt(below_D), out=np.full_like(above_D, np.nan), where=below_D > 0)

    return statistic


class _AverageRanks:
    """The ranks of one value per example under weights, measured from the middle rank."""

    def __init__(self, values_N: NDArray[np.float64]) -> None:
        self._order_N = np.argsort(values_N)
        first_N = np.diff(values_N[self._order_N], prepend=np.nan) != 0
        self._starts_G = np.flatnonzero(first_N)
        self._group_N = np.empty(len(values_N), dtype=np.intp)
        self._group_N[self._order_N] = np.cumsum(first_N) - 1

    def centred(self, weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        weight_DG = np.add.reduceat(weights_DN.take(self._order_N, axis=1), self._starts_G, axis=1)
        # Half of what is below minus half of what is above: integers and halves, so exact for counts.
        below_DG = np.cumsum(weight_DG, axis=1)
        rank_DG = below_DG - (weight_DG + below_DG[:, -1:]) / 2
        return rank_DG.take(self._group_N, axis=1)
