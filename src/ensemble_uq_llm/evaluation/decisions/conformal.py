"""Sets of classes that hold the label with a promised probability: split conformal prediction.

`fit` turns labelled calibration examples into rules, `include` applies rules to any examples, and `measure` says
how the sets do where labels are known. The promise holds for examples of the calibration set's kind; on shifted
sets the coverage is what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.statistics.binomial import clopper_pearson
from ensemble_uq_llm.evaluation.statistics.bootstrap import DRAWS, resample
from ensemble_uq_llm.evaluation.statistics.statistic import family_of, weighted_mean

LEVELS: Final = (0.8, 0.9, 0.95)

Method: TypeAlias = Literal["lac", "aps", "class_conditional"]
METHODS: Final[tuple[Method, ...]] = ("lac", "aps", "class_conditional")

_ROUNDING = 1e-9  # so that 0.9 * 30, which is a little more than 27 in binary, asks for the 27th score


@dataclass(frozen=True, kw_only=True, eq=False)
class SetRule:
    """Which classes go into an example's set: those whose score is at most their threshold."""

    method: Method
    level: float
    """The promised coverage, 0 to 1."""
    threshold_C: NDArray[np.float64]
    """Infinite where there are too few calibration examples for the level: the class is always included."""
    examples_C: NDArray[np.int64]
    """The number of calibration examples of each class."""

    def as_json(self) -> dict[str, Any]:
        """Return the thresholds (null for infinite), the classes that are always included, and the promise."""
        thresholds = [None if np.isinf(threshold) else threshold for threshold in self.threshold_C.tolist()]
        return {
            "level": self.level,
            "calibration_examples": int(self.examples_C.sum()),
            "thresholds": thresholds,
            "always_included": [c for c, threshold in enumerate(thresholds) if threshold is None],
            "guarantee": self.guarantee(),
        }

    def guarantee(self) -> dict[str, Any]:
        """Return the bounds on the expected coverage, over calibration sets and test examples of their kind.

        `of` says of whom: of all examples (`marginal`: 1 - alpha <= E <= 1 - alpha + 1/(n + 1), Vovk et al. 2005;
        Lei et al. 2018, theorem 2) or of every class (`class`, with that class's n in the bound). The upper
        bound supposes that scores do not tie; ties only raise the coverage.
        """
        if self.method == "class_conditional":
            at_most = [min(1.0, self.level + 1 / (n + 1)) for n in self.examples_C.tolist()]
            return {"of": "class", "at_least": self.level, "at_most": at_most}
        at_most_of_all = min(1.0, self.level + 1 / (int(self.examples_C.sum()) + 1))
        return {"of": "marginal", "at_least": self.level, "at_most": at_most_of_all}


def fit(
    probs_NC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    *,
    rng: np.random.Generator,
    levels: Sequence[float] = LEVELS,
) -> tuple[SetRule, ...]:
    """Return the rules of every method and level, from calibration examples.

    `lac`: the score of a class is 1 - p (Sadinle et al. 2019, arXiv:1609.00451): the smallest sets on average.
    `aps`: the probability of the more probable classes, and a random part of its own (Romano et al. 2020,
    arXiv:2006.02544): sets that grow with the uncertainty. `class_conditional`: as `lac` with one threshold a
    class, from its own examples (Vovk 2012, arXiv:1209.2673): the promise then holds for every class.

    Args:
        probs_NC: the ensemble's probabilities of the calibration examples.
        labels_N: their labels, all known.
        rng: of the random parts of `aps`.
        levels: the promised coverages, each between 0 and 1.

    Raises:
        DataError: there is no example.
    """
    if not len(labels_N):
        raise DataError("there is no labelled example to calibrate sets on; label some or give another set")
    classes = probs_NC.shape[1]
    examples_C = np.bincount(labels_N, minlength=classes)
    rules = []
    for method in METHODS:
        own_N = _scores(method, probs_NC, rng)[np.arange(len(labels_N)), labels_N]
        for level in levels:
            if method == "class_conditional":
                threshold_C = np.array([_quantile(own_N[labels_N == c], level) for c in range(classes)])
            else:
                threshold_C = np.full(classes, _quantile(own_N, level))
            rules.append(SetRule(method=method, level=level, threshold_C=threshold_C, examples_C=examples_C))
    return tuple(rules)


def include(
    rules: Sequence[SetRule], probs_NC: NDArray[np.float64], *, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], ...]:
    """Return for each of R rules which classes every example's set holds, [N, C]; sets of one method are nested.

    Args:
        rules: what `fit` returned.
        probs_NC: the ensemble's probabilities of any examples, labelled or not, shifted or not.
        rng: of the random parts of `aps`.
    """
    scores_NC = {method: _scores(method, probs_NC, rng) for method in dict.fromkeys(rule.method for rule in rules)}
    return tuple(scores_NC[rule.method] <= rule.threshold_C for rule in rules)


def measure(
    rules: Sequence[SetRule],
    sets_RNC: Sequence[NDArray[np.bool_]],
    labels_N: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return by method and level (such as `0.90`) the rule and how its sets do on labelled examples.

    `coverage`: the share of sets that hold the label, with its exact interval. `mean_size`: with a bootstrap
    interval. `empty` and `single`: the shares of such sets. `by_size` and `by_class`: the coverage among sets
    of one size (Angelopoulos et al. 2021, arXiv:2009.14193) and among examples of one class. Intervals are over
    the test examples, with the rule as it was fitted.

    Args:
        rules: what `fit` returned.
        sets_RNC: what `include` returned for them.
        labels_N: the examples' labels, all known; at least one.
        draws: of the bootstrap; 0 for no interval of the size.
        seed: of the bootstrap.
    """
    sizes_RN = [sets_NC.sum(axis=1) for sets_NC in sets_RNC]
    mean_sizes = family_of({str(r): weighted_mean(size_N) for r, size_N in enumerate(sizes_RN)})
    resampled = resample(mean_sizes, sizes=[len(labels_N)], draws=draws, seed=seed)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for r, (rule, sets_NC, size_N) in enumerate(zip(rules, sets_RNC, sizes_RN, strict=True)):
        covered_N = sets_NC[np.arange(len(labels_N)), labels_N]
        by_size = _coverage_by("size", size_N, covered_N, groups=sets_NC.shape[1] + 1)
        results.setdefault(rule.method, {})[f"{rule.level:.2f}"] = rule.as_json() | {
            "coverage": _share(int(covered_N.sum()), len(labels_N)),
            "mean_size": resampled.estimate(str(r)).as_json(),
            "empty": float((size_N == 0).mean()),
            "single": float((size_N == 1).mean()),
            "by_size": [group for group in by_size if group["n"]],
            "by_class": _coverage_by("class", labels_N, covered_N, groups=sets_NC.shape[1]),
        }
    return results


def _scores(method: Method, probs_NC: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how strange each class would be; lower conforms better."""
    if method != "aps":
        return 1.0 - probs_NC
    order_NC = np.argsort(-probs_NC, axis=1, kind="stable")
    sorted_NC = np.take_along_axis(probs_NC, order_NC, axis=1)
    more_probable_NC = np.cumsum(sorted_NC, axis=1) - sorted_NC
    scores_NC = np.empty_like(probs_NC)
    random_N1 = rng.random((len(probs_NC), 1))
    np.put_along_axis(scores_NC, order_NC, more_probable_NC + random_N1 * sorted_NC, axis=1)
    return scores_NC


def _quantile(scores_N: NDArray[np.float64], level: float) -> float:
    """Return the ceil((n + 1) * level)-th smallest score; infinite where there are fewer."""
    rank = ceil((len(scores_N) + 1) * level - _ROUNDING)
    return float(np.partition(scores_N, rank - 1)[rank - 1]) if rank <= len(scores_N) else float("inf")


def _coverage_by(
    name: str, group_N: NDArray[np.int64], covered_N: NDArray[np.bool_], *, groups: int
) -> list[dict[str, Any]]:
    count_G = np.bincount(group_N, minlength=groups).tolist()
    covered_G = np.bincount(group_N[covered_N], minlength=groups).tolist()
    return [
        {name: group, "n": count, "coverage": coverage["value"], "ci95": coverage["ci95"]}
        for group, count in enumerate(count_G)
        for coverage in [_share(covered_G[group], count)]
    ]


def _share(successes: int, trials: int) -> dict[str, Any]:
    if not trials:
        return {"value": None, "ci95": None}
    return {"value": successes / trials, "ci95": list(clopper_pearson(successes, trials))}
