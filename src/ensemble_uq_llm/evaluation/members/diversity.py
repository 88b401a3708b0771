"""How differently the members answer: an ensemble of equal members is one member."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import Pair, PairwiseNumber
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.bootstrap import DRAWS, resample
from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.statistics.statistic import Family, weighted_mean
from ensemble_uq_llm.statistics.ties import snapped

LARGEST_MATRIX: Final = 20
"""The most members for which the numbers of all pairs are told."""


def measure_diversity(
    predictions_MN: NDArray[np.int64],
    labels_N: NDArray[np.int64] | None,
    *,
    members: Sequence[MemberId],
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, PairwiseNumber]:
    """Return how much pairs of members differ, by measure; nothing of a single member.

    `disagreement`: the share of examples that two members put into different classes. `error_correlation`: the
    correlation (phi) of two members' being wrong: 1 where they are wrong on the same examples, 0 where
    independently. It is undefined for a member that is never (or always) wrong, and absent without labels.
    Of each come `mean` (over the pairs for which it is defined, with a bootstrap interval), `min` and `max`
    with the pair's members, and `matrix`, whose entries are None where undefined (None for more than 20 members).
    Source: Kuncheva and Whitaker 2003, Machine Learning 51:181.

    Args:
        predictions_MN: every member's class of every example.
        labels_N: the labels, all known; None where there are none.
        members: the members, in their order.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    if len(predictions_MN) == 1:
        return {}
    resampled = resample(
        diversity_family(predictions_MN, labels_N), sizes=[predictions_MN.shape[1]], draws=draws, seed=seed
    )
    matrices_MM = {"disagreement": _disagreements(predictions_MN)}
    if labels_N is not None:
        matrices_MM["error_correlation"] = _error_correlation(predictions_MN != labels_N)(np.ones(len(labels_N)))
    return {
        name: _pairwise(matrix_MM, members, mean=resampled.estimate(name)) for name, matrix_MM in matrices_MM.items()
    }


def diversity_family(predictions_MN: NDArray[np.int64], labels_N: NDArray[np.int64] | None) -> Family[str]:
    """Return the means over pairs of members, `disagreement` and (with labels) `error_correlation`, as one family.

    Args:
        predictions_MN: every member's class of every example, of two members or more.
        labels_N: the labels, all known; None where there are none.
    """
    disagreement = weighted_mean(_disagreeing_pairs(predictions_MN))
    if labels_N is None:
        return lambda weights_DN: {"disagreement": disagreement(weights_DN)}
    correlation = _error_correlation(predictions_MN != labels_N)
    upper = np.triu_indices(len(predictions_MN), k=1)

    def family(weights_DN: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        correlation_DP = np.array([correlation(weights_N)[upper] for weights_N in weights_DN])
        return {"disagreement": disagreement(weights_DN), "error_correlation": _mean_of_defined(correlation_DP)}

    return family


def _disagreeing_pairs(predictions_MN: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of pairs of members that disagree on each example."""
    members = len(predictions_MN)
    votes_CN = np.array([(predictions_MN == c).sum(axis=0) for c in range(int(predictions_MN.max()) + 1)])
    share_N: NDArray[np.float64] = 1 - (votes_CN * (votes_CN - 1)).sum(axis=0) / (members * (members - 1))
    return share_N


def _disagreements(predictions_MN: NDArray[np.int64]) -> NDArray[np.float64]:
    agreements_MM = np.zeros((len(predictions_MN),) * 2)
    for c in range(int(predictions_MN.max()) + 1):
        chosen_MN = (predictions_MN == c).astype(np.float64)
        agreements_MM += chosen_MN @ chosen_MN.T
    return 1 - agreements_MM / predictions_MN.shape[1]


def _error_correlation(wrong_MN: NDArray[np.bool_]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function of the examples' weights: the correlation of every two members' errors, [M, M].

    NaN where a member makes no error, or nothing else.
    """
    some_N = wrong_MN.any(axis=0)  # where nobody is wrong there is nothing to sum
    wrong_MW = wrong_MN[:, some_N].astype(np.float64)

    def correlation(weights_N: NDArray[np.float64]) -> NDArray[np.float64]:
        both_MM = (wrong_MW * weights_N[some_N]) @ wrong_MW.T
        errors_M = both_MM.diagonal()
        # Of whole weights all of these are whole numbers, so that a variance of 0 is exactly 0.
        covariance_MM = weights_N.sum() * both_MM - np.outer(errors_M, errors_M)
        spread_M = np.sqrt(covariance_MM.diagonal())
        spread_MM = np.outer(spread_M, spread_M)
        return np.divide(covariance_MM, spread_MM, out=np.full_like(spread_MM, np.nan), where=spread_MM > 0)

    return correlation


def _mean_of_defined(values_DP: NDArray[np.float64]) -> NDArray[np.float64]:
    defined_DP = ~np.isnan(values_DP)
    count_D = defined_DP.sum(axis=1)
    sum_D = np.where(defined_DP, values_DP, 0.0).sum(axis=1)
    return np.divide(sum_D, count_D, out=np.full_like(sum_D, np.nan), where=count_D > 0)


def _pairwise(matrix_MM: NDArray[np.float64], members: Sequence[MemberId], *, mean: Estimate) -> PairwiseNumber:
    pairs = combinations(sorted(range(len(members)), key=members.__getitem__), 2)  # of pairs that tie the first by name
    upper = np.array([sorted(pair) for pair in pairs]).T
    values_P = matrix_MM[tuple(upper)]
    ranked_P = np.where(np.isnan(values_P), np.nan, snapped(np.nan_to_num(values_P), unit=1.0))
    defined = not np.isnan(values_P).all()

    def pair(number: np.intp) -> Pair:
        first, second = (members[int(side[number])] for side in upper)
        return Pair(value=float(values_P[number]), members=(first, second))

    rows = tuple(tuple(None if np.isnan(value) else value for value in row) for row in matrix_MM.tolist())
    return PairwiseNumber(
        mean=mean,
        min=pair(np.nanargmin(ranked_P)) if defined else None,
        max=pair(np.nanargmax(ranked_P)) if defined else None,
        matrix=rows if len(members) <= LARGEST_MATRIX else None,
    )
