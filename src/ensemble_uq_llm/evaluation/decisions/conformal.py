"""Sets of classes that hold the label with a promised probability: split conformal prediction.

`fit_rules` turns labelled calibration examples into rules, `include` applies rules to any examples, and `measure` says
how the sets do where labels are known. The promise holds for examples of the calibration set's kind; on shifted
sets the coverage is what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.promise import judge, overall, threshold_rank
from ensemble_uq_llm.evaluation.records import ConformalSets, GroupCoverage, Guarantee, Promise
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import DRAWS, resample
from ensemble_uq_llm.statistics.intervals import Estimate, Interval
from ensemble_uq_llm.statistics.statistic import family_of, weighted_mean
from ensemble_uq_llm.statistics.ties import at_most, snapped

LEVELS: Final = (0.8, 0.9, 0.95)

Method: TypeAlias = Literal["lac", "aps", "class_conditional"]
METHODS: Final[tuple[Method, ...]] = ("lac", "aps", "class_conditional")

_UNIT = 1e-6  # below it 1 - p has lost the digits by which scores could differ
_ROUNDING = 1e-9  # so that 0.9 * 30, which is a little more than 27 in binary, asks for the 27th score


@dataclass(frozen=True, kw_only=True)
class SetRule:
    """Which classes go into an example's set: those whose score is at most their threshold."""

    method: Method
    level: float
    """The promised coverage, 0 to 1."""
    thresholds: tuple[float | None, ...]
    """One a class; None where there are too few calibration examples for the level: the class is always included."""
    examples: tuple[int, ...]
    """The number of calibration examples of each class."""
    tied: tuple[bool, ...] = ()
    """Whether several calibration examples have the threshold as their score, one a class: sets then hold more than
    is promised."""

    def guarantee(self) -> Guarantee:
        """Return the bounds on the expected coverage, over calibration sets and test examples of their kind.

        `of` says of whom: of all examples (`marginal`: 1 - alpha <= E <= 1 - alpha + 1/(n + 1), Vovk et al. 2005;
        Lei et al. 2018, theorem 2) or of every class (`class`, with that class's n in the bound). The upper
        bound supposes that scores do not tie; ties only raise the coverage.
        """
        if self.method == "class_conditional":
            at_most = tuple(min(1.0, self.level + 1 / (n + 1)) for n in self.examples)
            return Guarantee(of="class", at_least=self.level, at_most=at_most)
        at_most_of_all = min(1.0, self.level + 1 / (sum(self.examples) + 1))
        return Guarantee(of="marginal", at_least=self.level, at_most=at_most_of_all)


def fit_rules(
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
    examples = tuple(np.bincount(labels_N, minlength=classes).tolist())
    rules = []
    for method in METHODS:
        own_N = _scores(method, probs_NC, rng)[np.arange(len(labels_N)), labels_N]
        of_class = method == "class_conditional"
        own_C = [own_N[labels_N == c] for c in range(classes)] if of_class else [own_N] * classes
        for level in levels:
            thresholds = tuple(_quantile(scores_N, level) for scores_N in own_C)
            tied = tuple(bool((scores_N == q).sum() > 1) for scores_N, q in zip(own_C, thresholds, strict=True))
            rules.append(SetRule(method=method, level=level, thresholds=thresholds, examples=examples, tied=tied))
    return tuple(rules)


def include(
    rules: Sequence[SetRule],
    probs_NC: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    lacks_NC: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], ...]:
    """Return for each of R rules which classes every example's set holds, [N, C]; sets of one method are nested.

    A class that an example lacks is never in its set, which costs no coverage: it is nobody's label there.

    Args:
        rules: what `fit_rules` returned.
        probs_NC: the ensemble's probabilities of any examples, labelled or not, shifted or not.
        rng: of the random parts of `aps`.
        lacks_NC: the classes that each example lacks; None where every example has all.
    """
    has_NC = True if lacks_NC is None else ~lacks_NC
    scores_NC = {method: _scores(method, probs_NC, rng) for method in dict.fromkeys(rule.method for rule in rules)}
    return tuple(at_most(scores_NC[rule.method], _threshold_C(rule), unit=_UNIT) & has_NC for rule in rules)


def measure(
    rules: Sequence[SetRule],
    sets_RNC: Sequence[NDArray[np.bool_]],
    labels_N: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, ConformalSets]]:
    """Return by method and level (such as `0.90`) the rule and how its sets do on labelled examples.

    `coverage`: the share of sets that hold the label, with its exact interval. `mean_size`: with a bootstrap
    interval. `empty` and `single`: the shares of such sets. `by_size` and `by_class`: the coverage among sets
    of one size (Angelopoulos et al. 2021, arXiv:2009.14193) and among examples of one class. Intervals are over
    the test examples, with the rule as it was fitted. `promise`: whether the promise was kept, allowing for the
    randomness of both calibration and test examples; of a rule for every class judged class by class.

    Args:
        rules: what `fit_rules` returned.
        sets_RNC: what `include` returned for them.
        labels_N: the examples' labels, all known; at least one.
        draws: of the bootstrap; 0 for no interval of the size.
        seed: of the bootstrap.
    """
    mean_sizes = family_of({r: weighted_mean(sets_NC.sum(axis=1)) for r, sets_NC in enumerate(sets_RNC)})
    resampled = resample(mean_sizes, sizes=[len(labels_N)], draws=draws, seed=seed)
    results: dict[str, dict[str, ConformalSets]] = {}
    for r, (rule, sets_NC) in enumerate(zip(rules, sets_RNC, strict=True)):
        measured = _measure_sets(rule, sets_NC, labels_N, mean_size=resampled.estimate(r))
        results.setdefault(rule.method, {})[f"{rule.level:.2f}"] = measured
    return results


def _measure_sets(
    rule: SetRule, sets_NC: NDArray[np.bool_], labels_N: NDArray[np.int64], *, mean_size: Estimate
) -> ConformalSets:
    classes, size_N = sets_NC.shape[1], sets_NC.sum(axis=1)
    covered_N = sets_NC[np.arange(len(labels_N)), labels_N]
    coverage, interval = _share(int(covered_N.sum()), len(labels_N))
    by_class = _coverage_by(labels_N, covered_N, groups=classes)
    if rule.method == "class_conditional":
        by_class = tuple(replace(each, promise=_class_promise(rule, each)) for each in by_class)
        promise = overall([each.promise for each in by_class if each.promise is not None])
    else:
        calibrated, tied = sum(rule.examples), any(rule.tied)
        covered = int(covered_N.sum())
        promise = judge(covered, len(labels_N), level=rule.level, calibrated=calibrated, tied=tied)
    return ConformalSets(
        level=rule.level,
        calibration_examples=sum(rule.examples),
        thresholds=rule.thresholds,
        always_included=tuple(c for c, threshold in enumerate(rule.thresholds) if threshold is None),
        guarantee=rule.guarantee(),
        coverage=Estimate(value=coverage, ci95=interval),
        mean_size=mean_size,
        empty=float((size_N == 0).mean()),
        single=float((size_N == 1).mean()),
        by_size=tuple(each for each in _coverage_by(size_N, covered_N, groups=classes + 1) if each.n),
        by_class=by_class,
        promise=promise,
    )


def _class_promise(rule: SetRule, of_class: GroupCoverage) -> Promise:
    return judge(
        *(round((of_class.coverage or 0.0) * of_class.n), of_class.n),
        level=rule.level,
        calibrated=rule.examples[of_class.group],
        tied=rule.tied[of_class.group] if rule.tied else False,
        judgements=len(rule.examples),
    )


def _scores(method: Method, probs_NC: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how strange each class would be; lower conforms better."""
    if method != "aps":
        return 1.0 - probs_NC
    order_NC = np.argsort(-snapped(probs_NC), axis=1, kind="stable")
    sorted_NC = np.take_along_axis(probs_NC, order_NC, axis=1)
    more_probable_NC = np.cumsum(sorted_NC, axis=1) - sorted_NC
    scores_NC = np.empty_like(probs_NC)
    random_N1 = rng.random((len(probs_NC), 1))
    np.put_along_axis(scores_NC, order_NC, more_probable_NC + random_N1 * sorted_NC, axis=1)
    return scores_NC


def _quantile(scores_N: NDArray[np.float64], level: float) -> float | None:
    """Return the ceil((n + 1) * level)-th smallest score; None where there are fewer."""
    rank = threshold_rank(len(scores_N), level)
    return float(np.partition(scores_N, rank - 1)[rank - 1]) if rank <= len(scores_N) else None


def _threshold_C(rule: SetRule) -> NDArray[np.float64]:
    return np.array([np.inf if threshold is None else threshold for threshold in rule.thresholds])


def _coverage_by(group_N: NDArray[np.int64], covered_N: NDArray[np.bool_], *, groups: int) -> tuple[GroupCoverage, ...]:
    count_G = np.bincount(group_N, minlength=groups).tolist()
    covered_G = np.bincount(group_N[covered_N], minlength=groups).tolist()
    records = []
    for group, (count, covered) in enumerate(zip(count_G, covered_G, strict=True)):
        coverage, interval = _share(covered, count)
        records.append(GroupCoverage(group=group, n=count, coverage=coverage, ci95=interval))
    return tuple(records)


def _share(successes: int, trials: int) -> tuple[float | None, Interval | None]:
    return (successes / trials, clopper_pearson(successes, trials)) if trials else (None, None)
