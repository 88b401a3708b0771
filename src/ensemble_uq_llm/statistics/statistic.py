"""Numbers about a set of examples, as functions of how often each example counts.

A `Statistic` maps `weights_DN` (one row for each of D draws: how often every example counts, whole numbers) to D
values. Weights of one give the statistic's value, the counts of a resampling give a draw of its bootstrap: one
implementation for both, vectorised over draws. Where a statistic is undefined (an AUC without negatives) it is NaN.
A `Family` gives several numbers by a key (mostly a name), which may share their work.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Statistic: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Key = TypeVar("Key", bound=Hashable)
Family: TypeAlias = Callable[[NDArray[np.float64]], Mapping[Key, NDArray[np.float64]]]


def family_of(statistics: Mapping[Key, Statistic]) -> Family[Key]:
    """Return statistics as one family, which computes ratios together and every ranking once."""
    ratios = {key: each for key, each in statistics.items() if isinstance(each, Ratio)}
    ranked = {key: each for key, each in statistics.items() if isinstance(each, Ranked)}
    others = {key: each for key, each in statistics.items() if key not in ratios and key not in ranked}
    parts = [_all_ratios(ratios)] if ratios else []
    parts += [_one_ranking(those) for those in _by_ranking(ranked)]

    def family(weights_DN: NDArray[np.float64]) -> dict[Key, NDArray[np.float64]]:
        values = {key: statistic(weights_DN) for key, statistic in others.items()}
        for part in parts:
            values |= part(weights_DN)
        return {key: values[key] for key in statistics}

    return family


def value_of(statistic: Statistic, examples: int) -> float:
    """Return the statistic's value where every one of `examples` counts once; NaN if it is undefined."""
    return float(statistic(np.ones((1, examples)))[0])


def values_of(family: Family[Key], examples: int) -> dict[Key, float]:
    """Return the family's values where every one of `examples` counts once; NaN where undefined."""
    return {key: float(values_D[0]) for key, values_D in family(np.ones((1, examples))).items()}


def weighted_ratio(numerator_N: NDArray[np.generic], denominator_N: NDArray[np.generic]) -> Statistic:
    """Return the statistic sum(weight * numerator) / sum(weight * denominator)."""
    return Ratio(numerator_N=numerator_N.astype(np.float64), denominator_N=denominator_N.astype(np.float64))


def weighted_mean(values_N: NDArray[np.generic]) -> Statistic:
    """Return the weighted mean of one value per example."""
    return weighted_ratio(values_N, np.ones(len(values_N)))


def roc_area(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> Statistic:
    """Return the area under the ROC curve: P(score of a positive > of a negative), ties counting half.

    Equals scikit-learn's `roc_auc_score` with `sample_weight`; undefined without positives or negatives.
    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    return Ranked(ranking=Ranking.ascending(scores_N, positive_N), of=Tally.roc_area)


def average_precision_of(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> Statistic:
    """Return the mean over positives of the precision at their score's threshold, without interpolation.

    Equals scikit-learn's `average_precision_score` with `sample_weight`; undefined without positives.
    """
    return Ranked(ranking=Ranking.ascending(scores_N, positive_N), of=Tally.average_precision)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratio:
    """A statistic that is a ratio of two weighted sums."""

    numerator_N: NDArray[np.float64]
    denominator_N: NDArray[np.float64]

    def __call__(self, weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ratio for every draw."""
        return _divide(weights_DN @ self.numerator_N, weights_DN @ self.denominator_N)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """A statistic of the counts of positives and of all examples in every group of equal score."""

    ranking: "Ranking"
    of: Callable[["Tally"], NDArray[np.float64]]

    def __call__(self, weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the statistic for every draw."""
        return self.of(self.ranking.tally(weights_DN))


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Examples sorted by score, cut into groups G of equal score."""

    order_N: NDArray[np.intp]
    starts_G: NDArray[np.intp]
    positive_N: NDArray[np.int32]

    @staticmethod
    def ascending(scores_N: NDArray[np.float64], positive_N: NDArray[np.bool_]) -> "Ranking":
        """Sort examples from the lowest score to the highest; `positive_N` marks those that are counted apart."""
        order_N = np.argsort(scores_N)  # in which order ties come plays no part: they are one group
        first_N = np.diff(scores_N[order_N], prepend=np.nan) != 0
        return Ranking(
            order_N=order_N,
            starts_G=np.flatnonzero(first_N),
            positive_N=positive_N[order_N].astype(np.int32),
        )

    def equals(self, other: "Ranking") -> bool:
        """Return whether another ranking sorts, groups and marks the examples alike."""
        pairs = (
            (self.order_N, other.order_N),
            (self.starts_G, other.starts_G),
            (self.positive_N, other.positive_N),
        )
        return all(np.array_equal(ours, theirs) for ours, theirs in pairs)

    def tally(self, weights_DN: NDArray[np.float64]) -> "Tally":
        """Return the counts at every group for weights that are whole numbers."""
        # Whole numbers of 32 bits are summed and moved several times faster than floating ones, and exactly.
        all_DN = weights_DN.astype(np.int32).take(self.order_N, axis=1)
        positive_DN = all_DN * self.positive_N
        if len(self.starts_G) == len(self.order_N):
            return Tally.of(positive_DN, all_DN)
        return Tally.of(
            np.add.reduceat(positive_DN, self.starts_G, axis=1, dtype=np.int32),
            np.add.reduceat(all_DN, self.starts_G, axis=1, dtype=np.int32),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """How many positives, and how many examples, are in every group of equal score, and in all groups up to it."""

    positive_DG: NDArray[np.float64]
    all_DG: NDArray[np.float64]
    positive_up_to_DG: NDArray[np.float64]
    all_up_to_DG: NDArray[np.float64]

    @staticmethod
    def of(positive_DG: NDArray[np.int32], all_DG: NDArray[np.int32]) -> "Tally":
        """Return the counts with their running sums."""
        counts = (positive_DG, all_DG, *(np.cumsum(each, axis=1, dtype=np.int32) for each in (positive_DG, all_DG)))
        names = ("positive_DG", "all_DG", "positive_up_to_DG", "all_up_to_DG")
        return Tally(**{name: count.astype(np.float64) for name, count in zip(names, counts, strict=True)})

    @property
    def positives_D(self) -> NDArray[np.float64]:
        """The number of positives."""
        return self.positive_up_to_DG[:, -1]

    @property
    def n_D(self) -> NDArray[np.float64]:
        """The number of examples."""
        return self.all_up_to_DG[:, -1]

    def lost_pairs(self) -> NDArray[np.float64]:
        """Return the pairs of a positive and a negative where the positive has the lower score, ties counting half."""
        negative_DG = self.all_DG - self.positive_DG
        lost_D: NDArray[np.float64] = np.vecdot(negative_DG, self.positive_up_to_DG - self.positive_DG / 2)
        return lost_D

    def roc_area(self) -> NDArray[np.float64]:
        """Return the area under the ROC curve."""
        pairs_D = self.positives_D * (self.n_D - self.positives_D)
        return _divide(pairs_D - self.lost_pairs(), pairs_D)

    def average_precision(self) -> NDArray[np.float64]:
        """Return the mean over positives of the precision at their score's threshold, from the highest down."""
        found_DG = self.positives_D[:, None] - self.positive_up_to_DG + self.positive_DG
        called_DG = self.n_D[:, None] - self.all_up_to_DG + self.all_DG
        precision_DG = found_DG / np.maximum(called_DG, 1.0)  # nothing called means nothing found
        return _divide(np.vecdot(self.positive_DG, precision_DG), self.positives_D)


def _all_ratios(ratios: Mapping[Key, Ratio]) -> Family[Key]:
    """Return ratios from one matrix product; equal denominators are summed once."""
    denominators: list[NDArray[np.float64]] = []
    which: dict[Key, int] = {}
    for key, ratio in ratios.items():
        known = next((i for i, each in enumerate(denominators) if np.array_equal(each, ratio.denominator_N)), None)
        which[key] = len(denominators) if known is None else known
        denominators += [ratio.denominator_N] if known is None else []
    terms_NR = np.stack([*denominators, *(ratio.numerator_N for ratio in ratios.values())], axis=1)

    def family(weights_DN: NDArray[np.float64]) -> dict[Key, NDArray[np.float64]]:
        sums_DR = weights_DN @ terms_NR
        above = sums_DR.T[len(denominators) :]
        return {key: _divide(above_D, sums_DR[:, which[key]]) for key, above_D in zip(ratios, above, strict=True)}

    return family


def _one_ranking(ranked: Mapping[Key, Ranked]) -> Family[Key]:
    ranking = next(iter(ranked.values())).ranking

    def family(weights_DN: NDArray[np.float64]) -> dict[Key, NDArray[np.float64]]:
        tally = ranking.tally(weights_DN)
        return {key: statistic.of(tally) for key, statistic in ranked.items()}

    return family


def _by_ranking(ranked: Mapping[Key, Ranked]) -> list[dict[Key, Ranked]]:
    """Return the statistics in groups of equal rankings."""
    groups: list[dict[Key, Ranked]] = []
    for key, statistic in ranked.items():
        for group in groups:
            if statistic.ranking.equals(next(iter(group.values())).ranking):
                group[key] = statistic
                break
        else:
            groups.append({key: statistic})
    return groups


def _divide(above_D: NDArray[np.float64], below_D: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above_D, below_D, out=np.full_like(above_D, np.nan), where=below_D != 0)
