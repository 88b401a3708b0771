"""What whoever uses these answers should know first: harm, and failure to learn, where the evidence shows them.

Nothing is concluded from fewer than twenty examples, nor of two numbers without the interval of their difference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ensemble_uq_llm.evaluation.decisions.shift import judge_together
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.records import Finding, FindingKind, SetMetrics, Shift
from ensemble_uq_llm.evaluation.scores import BASELINE
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL
from ensemble_uq_llm.statistics.ties import most_probable

_HIGHER_IS_BETTER = {metric.name: bool(metric.higher_is_better) for metric in METRICS}

_ROUNDING = 1e-9
"""Differences below it are none: sums of the same numbers in another order."""

_HARMED = ("accuracy", "auc")
"""The metrics that pooling can harm. It cannot the NLL and the Brier score: they are convex in the probabilities, so
those of the mean are at most the mean of theirs (Jensen's inequality)."""


def conclude(sets: Mapping[str, SetMetrics], measured: Mapping[str, Measured]) -> dict[str, SetMetrics]:
    """Return sets with what their numbers say, the comparisons with the first one judged together.

    Args:
        sets: the metrics, by the sets' names; the first is the one that the others are compared with.
        measured: what they were computed from.
    """
    main = next(iter(sets.values()))
    shifts = judge_together({name: metrics.shift for name, metrics in sets.items() if metrics.shift})
    judged = {name: replace(metrics, shift=shifts.get(name)) for name, metrics in sets.items()}
    return {
        name: replace(metrics, findings=(*find_beside(metrics, main), *find(metrics, measured[name])))
        for name, metrics in judged.items()
    }


def find(metrics: SetMetrics, measured: Measured) -> tuple[Finding, ...]:
    """Return what is to be said of one set by itself, the most important first.

    Args:
        metrics: of the set, with what its labels say if it has any.
        measured: the set.
    """
    return (*_one_class(metrics), *_constant(metrics, measured), *_unlearned(metrics), *_harm(metrics))


def find_beside(metrics: SetMetrics, reference: SetMetrics) -> tuple[Finding, ...]:
    """Return what is to be said of a set beside the one that it is compared with.

    Args:
        metrics: of the set; judged together with the others.
        reference: of the set that it is compared with.
    """
    shift = metrics.shift
    change = shift.change.get("accuracy") if shift else None
    n = min(metrics.labelled, reference.labelled)
    if shift is None or change is None or n < FEWEST_EXAMPLES or not is_worse("accuracy", change):
        return ()
    scores = tuple(score for score in (BASELINE, shift.detection.score) if _is_surer(shift, score))
    if not scores:
        return ()
    before, after = reference.ensemble["accuracy"].value, metrics.ensemble["accuracy"].value
    finding = Finding(kind="worse_but_surer", n=n, metric="accuracy", value=after, other=before, difference=change)
    return (replace(finding, scores=scores),)


def _is_surer(shift: Shift, score: str) -> bool:
    if score == shift.detection.score:
        return shift.detection.seen == "surer"
    interval = shift.numbers["auroc"][score].ci95
    return interval is not None and interval[1] < 0.5


def is_worse(metric: str, difference: Comparison) -> bool:
    """Return whether a metric is worse than what it is compared with, by more than chance explains."""
    return _sign(difference) * (1 if _HIGHER_IS_BETTER[metric] else -1) < 0


def is_better(metric: str, difference: Comparison) -> bool:
    """Return whether a metric is better than what it is compared with, by more than chance explains."""
    return _sign(difference) * (1 if _HIGHER_IS_BETTER[metric] else -1) > 0


def _sign(difference: Comparison) -> int:
    """Return on which side of 0 a difference lies for sure; 0 where that cannot be told."""
    if difference.ci95 is None or difference.p_value is None or difference.p_value >= SIGNIFICANCE_LEVEL:
        return 0
    low, high = difference.ci95
    return 1 if low > _ROUNDING else -1 if high < -_ROUNDING else 0


def _only_label(metrics: SetMetrics) -> int | None:
    """Return the class that all labels show; None where they show several, or there are none."""
    present = [each.label for each in metrics.by_class.classes if each.n] if metrics.by_class else []
    return present[0] if len(present) == 1 else None


def _one_class(metrics: SetMetrics) -> Iterator[Finding]:
    label = _only_label(metrics)
    if label is not None:
        yield Finding(kind="one_class", n=metrics.labelled, label=label)


def _constant(metrics: SetMetrics, measured: Measured) -> Iterator[Finding]:
    """Yield who answers every example alike, though not all labels are alike."""
    if metrics.n < FEWEST_EXAMPLES:
        return
    only = _only_label(metrics)
    answers_MN = most_probable(log_softmax(measured.predictions.logits_MNC))
    constant_M = (answers_MN == answers_MN[:, :1]).all(axis=1)
    for label in np.unique(answers_MN[constant_M, 0]).tolist():
        those = np.flatnonzero(constant_M & (answers_MN[:, 0] == label))
        members = tuple(measured.predictions.members[m] for m in those.tolist())
        if label != only:
            yield Finding(kind="constant_members", n=metrics.n, label=label, members=members)
    pooled_N = measured.uncertainty.prediction_N
    if not constant_M.all() and (pooled_N == pooled_N[0]).all() and pooled_N[0] != only:
        yield Finding(kind="constant_ensemble", n=metrics.n, label=int(pooled_N[0]))


def _unlearned(metrics: SetMetrics) -> Iterator[Finding]:
    constant = metrics.constant_answers
    if constant is None or metrics.labelled < FEWEST_EXAMPLES or _only_label(metrics) is not None:
        return
    kinds: tuple[tuple[FindingKind, str], ...] = (("not_above_majority", "accuracy"), ("not_below_prior", "nll"))
    for kind, name in kinds:
        beside = constant.metrics[name]
        if beside.gain.ci95 is not None and not is_better(name, beside.gain):
            yield Finding(
                kind=kind,
                n=metrics.labelled,
                metric=name,
                value=metrics.ensemble[name].value,
                other=beside.value.value,
                difference=beside.gain,
                label=constant.majority,
            )


def _harm(metrics: SetMetrics) -> Iterator[Finding]:
    if metrics.labelled < FEWEST_EXAMPLES:
        return
    for name in _HARMED:
        gain = metrics.gain.get(name)
        if gain is not None and is_worse(name, gain.over_mean):
            yield Finding(
                kind="ensemble_hurts",
                n=metrics.labelled,
                metric=name,
                value=metrics.ensemble[name].value,
                other=metrics.members_mean[name].value,
                difference=gain.over_mean,
            )
