"""Do I need them all? Every metric of smaller ensembles, pooled from subsets of the members."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.members.added_member import MEANS, added_members, in_words, slight_from
from ensemble_uq_llm.evaluation.quality.metrics import Metric
from ensemble_uq_llm.evaluation.records import SizeCurve, SubsetSummary
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp
from ensemble_uq_llm.predictions.ordering import members_by_content
from ensemble_uq_llm.statistics.bootstrap import DRAWS
from ensemble_uq_llm.statistics.draws import worker_threads
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES
from ensemble_uq_llm.statistics.statistic import Ratio, Statistic, value_of

SUBSETS: Final = 30
_MOST_SIZES = 10  # all sizes up to here; beyond, about three to a doubling
_THINNED = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40)
_SMALLEST = 1e-290  # a mean of scaled probabilities below this has lost digits to underflow


def size_curve(
    log_probs_MNC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    metrics: Sequence[Metric],
    *,
    subsets: int = SUBSETS,
    draws: int = DRAWS,
    seed: int = 0,
    rng: np.random.Generator,
) -> SizeCurve:
    """Return every metric of smaller ensembles, pooled from subsets of the members.

    For each size k there are up to `subsets` random subsets, or all where there are no more. Of their values
    come `mean`, `sd` (population), `min`, `max`, `p5` and `p95`, one a size. Subsets of nearly all members
    share most of them, so their spread says less and less of other ensembles of that size.

    `added` is what one member more changes of the metrics that are means over examples, `slight_from` from how many
    members on that is next to nothing of the NLL, and `answer` what follows from it; see `added_member`.

    Args:
        log_probs_MNC: the members' log-probabilities on the labelled examples.
        labels_N: the labels, all known.
        metrics: the metrics; `nll` must be among them.
        subsets: of each size, at most.
        draws: of the bootstrap over examples; 0 for no intervals.
        seed: of the bootstrap.
        rng: of the subsets.
    """
    log_probs_MNC = log_probs_MNC[members_by_content(log_probs_MNC)]
    members = len(log_probs_MNC)
    sizes = _sizes(members)
    chosen = _draw_subsets(members, sizes, subsets, rng)
    pool = _Pool(log_probs_MNC)

    def evaluate(subset: tuple[int, ...]) -> list[Statistic]:
        log_probs_NC = pool.log_probs(subset)
        return [metric.statistic(log_probs_NC, labels_N) for metric in metrics]

    values: list[NDArray[np.float64]] = []
    terms: dict[str, list[NDArray[np.float64]]] = {}
    with worker_threads() as threads:
        for of_size in chosen:
            found: list[list[float]] = []
            sums: dict[str, NDArray[np.float64]] = {}
            for statistics in threads.map(evaluate, of_size):
                found.append([value_of(statistic, len(labels_N)) for statistic in statistics])
                for metric, statistic in zip(metrics, statistics, strict=True):
                    if metric.name in MEANS and isinstance(statistic, Ratio):
                        sums[metric.name] = sums.get(metric.name, 0) + statistic.numerator_N
            values.append(np.array(found).T)
            for name, sum_N in sums.items():
                terms.setdefault(name, []).append(sum_N / len(of_size))
    added = added_members(sizes, {name: np.stack(of_K) for name, of_K in terms.items()}, draws=draws, seed=seed)
    mean_nll = [float(of_size.mean()) for of_size in terms["nll"]]
    return SizeCurve(
        sizes=tuple(sizes),
        subsets=tuple(len(of_size) for of_size in chosen),
        metrics={metric.name: _summary([each[i] for each in values]) for i, metric in enumerate(metrics)},
        added=added.steps,
        slight_from=slight_from(sizes, added.steps["nll"]) if len(labels_N) >= FEWEST_EXAMPLES else None,
        answer=in_words(sizes, added, mean_nll, examples=len(labels_N)),
    )


def enough_subsets(examples: int) -> int:
    """Return how many subsets of a size tell its spread: of many examples fewer, which keeps the time in bounds."""
    return min(SUBSETS, max(10, 1_000_000 // examples))


class _Pool:
    """The members' probabilities, scaled by their highest so that pooling a subset is one matrix product."""

    def __init__(self, log_probs_MNC: NDArray[np.float64]) -> None:
        self._log_probs_MNC = log_probs_MNC
        self._highest_NC = log_probs_MNC.max(axis=0)
        self._scaled_MP = np.exp(log_probs_MNC - self._highest_NC).reshape(len(log_probs_MNC), -1)

    def log_probs(self, subset: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the log of the subset's mean probability."""
        share_M = np.zeros(len(self._scaled_MP))
        share_M[list(subset)] = 1 / len(subset)
        mean_NC = (share_M @ self._scaled_MP).reshape(self._highest_NC.shape)
        lost_NC = mean_NC < _SMALLEST
        log_probs_NC: NDArray[np.float64] = self._highest_NC + np.log(np.where(lost_NC, 1.0, mean_NC))
        if lost_NC.any():
            log_probs_NC[lost_NC] = log_mean_exp(self._log_probs_MNC[list(subset)][:, lost_NC])
        return log_probs_NC


def _sizes(members: int) -> list[int]:
    if members <= _MOST_SIZES:
        return list(range(1, members + 1))
    return [*(size for size in _THINNED if size < members), members]


def _draw_subsets(
    members: int, sizes: Sequence[int], most: int, rng: np.random.Generator
) -> list[list[tuple[int, ...]]]:
    """Return for each size all subsets where there are at most so many, else balanced random ones.

    Those are neighbours on rings on which the members stand in random order: so every member is in as many subsets of
    a size as any other, and every subset lies in one of the next size. What single members are worth then cancels
    between sizes, where independent subsets would make a noise larger than what a further member changes.
    """
    rings = [rng.permutation(members).tolist() for _ in range(max(1, most // members))]
    starts = range(0, members, -(-members // most))
    return [
        list(combinations(range(members), size))
        if comb(members, size) <= most
        else [tuple(sorted((ring + ring)[at : at + size])) for ring in rings for at in starts]
        for size in sizes
    ]


def _summary(values_KS: Sequence[NDArray[np.float64]]) -> SubsetSummary:
    """Return a summary over the subsets S, one number for each of the sizes K."""

    def by_size(summarise: Callable[[NDArray[np.float64]], np.floating]) -> tuple[float | None, ...]:
        sorted_KS = [np.sort(values_S) for values_S in values_KS]
        return tuple(None if np.isnan(values_S).any() else float(summarise(values_S)) for values_S in sorted_KS)

    return SubsetSummary(
        mean=by_size(np.mean),
        sd=by_size(np.std),
        min=by_size(np.min),
        max=by_size(np.max),
        p5=by_size(lambda values_S: np.percentile(values_S, 5)),
        p95=by_size(lambda values_S: np.percentile(values_S, 95)),
    )
