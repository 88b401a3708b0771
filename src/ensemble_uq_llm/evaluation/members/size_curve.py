"""Do I need them all? Every metric of smaller ensembles, pooled from subsets of the members."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.metrics import Metric
from ensemble_uq_llm.evaluation.records import SizeCurve, SubsetSummary
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp
from ensemble_uq_llm.predictions.ordering import members_by_content
from ensemble_uq_llm.statistics.draws import worker_threads
from ensemble_uq_llm.statistics.statistic import value_of

SUBSETS: Final = 30
ENOUGH: Final = 0.95
"""The share of the gain in NLL that makes a smaller ensemble enough."""

SLIGHT: Final = 0.01
"""The share of the NLL below which a gain is called slight: it hardly matters then which size is enough."""

_MOST_SIZES = 10  # all sizes up to here; beyond, about three to a doubling
_THINNED = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40)
_SMALLEST = 1e-290  # a mean of scaled probabilities below this has lost digits to underflow


def size_curve(
    log_probs_MNC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    metrics: Sequence[Metric],
    *,
    subsets: int = SUBSETS,
    rng: np.random.Generator,
) -> SizeCurve:
    """Return every metric of smaller ensembles, pooled from subsets of the members.

    For each size k there are `subsets` distinct random subsets, or all where there are no more. Of their values
    come `mean`, `sd` (population), `min`, `max`, `p5` and `p95`, one a size. Subsets of nearly all members
    share most of them, so their spread says less and less of other ensembles of that size.

    `enough` is the smallest size whose mean NLL has 95% of the gain of all members over one, None where there is
    no gain; `answer` says it in a sentence.

    Args:
        log_probs_MNC: the members' log-probabilities on the labelled examples.
        labels_N: the labels, all known.
        metrics: the metrics; `nll` must be among them.
        subsets: of each size, at most.
        rng: of the subsets.
    """
    log_probs_MNC = log_probs_MNC[members_by_content(log_probs_MNC)]
    members = len(log_probs_MNC)
    sizes = _sizes(members)
    chosen = [_draw_subsets(members, size, subsets, rng) for size in sizes]
    pool = _Pool(log_probs_MNC)

    def evaluate(subset: tuple[int, ...]) -> list[float]:
        log_probs_NC = pool.log_probs(subset)
        return [value_of(metric.statistic(log_probs_NC, labels_N), len(labels_N)) for metric in metrics]

    with worker_threads() as threads:
        values = [np.array(list(threads.map(evaluate, of_size))).T for of_size in chosen]
    nll = next(i for i, metric in enumerate(metrics) if metric.name == "nll")
    mean_nll = [float(of_size[nll].mean()) for of_size in values]
    enough = _enough(sizes, mean_nll)
    return SizeCurve(
        sizes=tuple(sizes),
        subsets=tuple(len(of_size) for of_size in chosen),
        metrics={metric.name: _summary([each[i] for each in values]) for i, metric in enumerate(metrics)},
        enough=enough,
        answer=_answer(members, enough, mean_nll),
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


def _draw_subsets(members: int, size: int, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return all subsets of a size where there are at most so many, else so many distinct random ones."""
    if comb(members, size) <= most:
        return list(combinations(range(members), size))
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < most:
        drawn[tuple(sorted(rng.choice(members, size, replace=False).tolist()))] = None
    return list(drawn)


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


def _enough(sizes: Sequence[int], mean_nll: Sequence[float]) -> int | None:
    gain = mean_nll[0] - mean_nll[-1]
    if gain <= 0:
        return None
    wanted = mean_nll[0] - ENOUGH * gain
    return next(size for size, value in zip(sizes, mean_nll, strict=True) if value <= wanted or size == sizes[-1])


def _answer(members: int, enough: int | None, mean_nll: Sequence[float]) -> str:
    """Return the answer to "do I need them all?"."""
    if members == 1:
        return "There is one member only, so nothing can be said of smaller ensembles."
    change = f"NLL {mean_nll[0]:.3f} with one member, {mean_nll[-1]:.3f} with all {members}"
    if 0 < mean_nll[0] - mean_nll[-1] < SLIGHT * mean_nll[0]:
        return f"More members lower the NLL by less than {SLIGHT:.0%} here ({change})."
    if enough is None:
        return f"More members do not lower the NLL here ({change})."
    if enough == members:
        return f"All {members} members are needed for {ENOUGH:.0%} of the gain in NLL ({change})."
    return f"{enough} of {members} members have {ENOUGH:.0%} of the gain in NLL ({change})."
