"""Numbers about a set of examples, as functions of how often each example counts.

A `Statistic` maps `weights_DN` (one row of example weights for each of D draws) to D values. Weights of one
give the statistic's value, the counts of a resampling give a draw of its bootstrap: one implementation for
both, vectorised over draws. Where a statistic is undefined (an AUC without negatives) its value is NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Statistic: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def value_of(statistic: Statistic, examples: int) -> float:
    """Return the statistic's value where every one of `examples` counts once; NaN if it is undefined."""
    return float(statistic(np.ones((1, examples)))[0])


def weighted_ratio(numerator_N: NDArray[np.generic], denominator_N: NDArray[np.generic]) -> Statistic:
    """Return the statistic sum(weight * numerator) / sum(weight * denominator)."""
    terms_N2 = np.stack([numerator_N, denominator_N], axis=1).astype(np.float64)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        above_D, below_D = (weights_DN @ terms_N2).T
        return _divide(above_D, below_D)

    return statistic


def weighted_mean(values_N: NDArray[np.generic]) -> Statistic:
    """Return the weighted mean of one value per example."""
    return weighted_ratio(values_N, np.ones(len(values_N)))


def roc_area(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> Statistic:
    """Return the area under the ROC curve: P(score of a positive > of a negative), ties counting half.

    Equals scikit-learn's `roc_auc_score` with `sample_weight`; undefined without positives or negatives.
    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    ranking = _Ranking.ascending(scores_N, positive_N)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        positive_DG, all_DG = ranking.group_sums(weights_DN)
        negative_DG = all_DG - positive_DG
        beaten_DG = np.cumsum(negative_DG, axis=1) - negative_DG / 2
        won_D = np.einsum("dg,dg->d", positive_DG, beaten_DG)
        return _divide(won_D, positive_DG.sum(axis=1) * negative_DG.sum(axis=1))

    return statistic


def average_precision_of(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> Statistic:
    """Return the mean over positives of the precision at their score's threshold, without interpolation.

    Equals scikit-learn's `average_precision_score` with `sample_weight`; undefined without positives.
    """
    ranking = _Ranking.ascending(-scores_N, positive_N)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        positive_DG, all_DG = ranking.group_sums(weights_DN)
        found_DG = np.cumsum(positive_DG, axis=1)
        called_DG = np.cumsum(all_DG, axis=1)
        # Nothing called means nothing found: the floor only keeps 0/0 from arising.
        precision_DG = found_DG / np.maximum(called_DG, np.finfo(np.float64).tiny)
        return _divide(np.einsum("dg,dg->d", positive_DG, precision_DG), found_DG[:, -1])

    return statistic


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ranking:
    """Examples sorted by score, cut into groups G of equal score."""

    order_N: NDArray[np.intp]
    starts_G: NDArray[np.intp]
    positive_N: NDArray[np.float64]

    @staticmethod
    def ascending(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> "_Ranking":
        order_N = np.argsort(scores_N, kind="stable")
        first_N = np.diff(scores_N[order_N], prepend=np.nan) != 0
        return _Ranking(
            order_N=order_N,
            starts_G=np.flatnonzero(first_N),
            positive_N=positive_N[order_N].astype(np.float64),
        )

    def group_sums(self, weights_DN: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight of positives and of all examples in every group, both [D, G]."""
        sorted_DN = weights_DN[:, self.order_N]
        positive_DN = sorted_DN * self.positive_N
        if len(self.starts_G) == len(self.order_N):
            return positive_DN, sorted_DN
        positive_DG: NDArray[np.float64] = np.add.reduceat(positive_DN, self.starts_G, axis=1)
        all_DG: NDArray[np.float64] = np.add.reduceat(sorted_DN, self.starts_G, axis=1)
        return positive_DG, all_DG


def _divide(above_D: NDArray[np.float64], below_D: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above_D, below_D, out=np.full_like(above_D, np.nan), where=below_D != 0)
