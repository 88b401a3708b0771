"""How good predicted probabilities are against the labels.

Every metric takes `log_probs_NC` and `labels_N` (all known) and returns a `Statistic`; the literal table
`METRICS` at the end is the whole list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.classes.by_class import balanced_accuracy, macro_f1
from ensemble_uq_llm.evaluation.quality import calibration, residual_sums
from ensemble_uq_llm.evaluation.quality.brier_split import PARTS as BRIER_PARTS
from ensemble_uq_llm.evaluation.quality.brier_split import brier_part, brier_reliability, brier_split
from ensemble_uq_llm.evaluation.quality.calibration import ErrorMaker, LogProbs, against_labels
from ensemble_uq_llm.evaluation.quality.residual_sums import Summed
from ensemble_uq_llm.evaluation.quality.smooth_ece import smooth_ece
from ensemble_uq_llm.labels.lacking_options import lacks
from ensemble_uq_llm.statistics.statistic import (
    Family,
    Statistic,
    average_precision_of,
    family_of,
    roc_area,
    weighted_mean,
)
from ensemble_uq_llm.statistics.ties import most_probable, snapped

_Labels: TypeAlias = NDArray[np.int64]


def accuracy(log_probs_NC: LogProbs, labels_N: _Labels) -> Statistic:
    """Share of examples whose most probable class is the label."""
    return weighted_mean(most_probable(log_probs_NC) == labels_N)


def auc(log_probs_NC: LogProbs, labels_N: _Labels) -> Statistic:
    """Area under the ROC curve of class 1; for more classes the unweighted mean of one against the rest.

    Undefined where a class has no example, as in scikit-learn's `roc_auc_score(multi_class="ovr")`. Where examples lack
    classes: see `_over_present`.
    """
    return _over_classes(roc_area, log_probs_NC, labels_N)


def average_precision(log_probs_NC: LogProbs, labels_N: _Labels) -> Statistic:
    """Average precision of class 1; for more classes the unweighted mean of one against the rest.

    Undefined where a class has no example. Definition: scikit-learn's `average_precision_score`. Where examples lack
    classes: see `_over_present`.
    """
    return _over_classes(average_precision_of, log_probs_NC, labels_N)


def nll(log_probs_NC: LogProbs, labels_N: _Labels) -> Statistic:
    """Mean negative log-probability of the label, in nats: never infinite for finite logits."""
    return weighted_mean(-log_probs_NC[np.arange(len(labels_N)), labels_N])


def brier(log_probs_NC: LogProbs, labels_N: _Labels) -> Statistic:
    """Mean squared error of the probabilities (Brier 1950): for two classes that of p_yes, from 0 to 1.

    For more classes the squared errors are summed, from 0 to 2: the convention of scikit-learn's
    `brier_score_loss(scale_by_half="auto")`.
    """
    classes = log_probs_NC.shape[1]
    squared_NC = (np.exp(log_probs_NC) - np.eye(classes)[labels_N]) ** 2
    return weighted_mean(squared_NC.sum(axis=1) / (2 if classes == 2 else 1))


def _over_classes(
    of_class: Callable[[NDArray[np.float64], NDArray[np.bool_]], Statistic],
    log_probs_NC: LogProbs,
    labels_N: _Labels,
) -> Statistic:
    classes = log_probs_NC.shape[1]
    if classes == 2:
        return of_class(_log_odds(log_probs_NC, 1), labels_N == 1)
    if lacks(log_probs_NC).any():
        return _over_present(of_class, log_probs_NC, labels_N)
    if len(np.unique(labels_N)) < classes:  # no resampling has the class that lacks, so none need be ranked
        return lambda weights_DN: np.full(len(weights_DN), np.nan)
    parts = [of_class(_log_odds(log_probs_NC, c), labels_N == c) for c in range(classes)]
    return lambda weights_DN: np.mean([part(weights_DN) for part in parts], axis=0)


def _over_present(
    of_class: Callable[[NDArray[np.float64], NDArray[np.bool_]], Statistic],
    log_probs_NC: LogProbs,
    labels_N: _Labels,
) -> Statistic:
    """Return the mean over classes of each against the rest, among the examples that have the class.

    A class has as much weight as examples of it, so that the last letter, which few questions have and fewer are
    answered by, does not leave the whole undefined.
    """
    events = []
    for c in range(log_probs_NC.shape[1]):
        rows = np.flatnonzero(~lacks(log_probs_NC[:, c]))
        if 0 < (positive := labels_N[rows] == c).sum() < len(rows):
            events.append((rows, positive, of_class(_log_odds(log_probs_NC[rows], c), positive)))

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        above_D, below_D = np.zeros(len(weights_DN)), np.zeros(len(weights_DN))
        for rows, positive, of_rows in events:
            own_DN = weights_DN[:, rows]
            value_D, weight_D = of_rows(own_DN), own_DN @ positive
            above_D += np.where(np.isfinite(value_D), value_D * weight_D, 0.0)
            below_D += np.where(np.isfinite(value_D), weight_D, 0.0)
        return np.divide(above_D, below_D, out=np.full_like(above_D, np.nan), where=below_D > 0)

    return statistic


def _log_odds(log_probs_NC: LogProbs, label: int) -> NDArray[np.float64]:
    """Return log p_c - log(1 - p_c), to be ranked: they rank like p_c, but do not tie where that rounds to 1."""
    others_NC = np.delete(log_probs_NC, label, axis=1)
    highest_N1 = others_NC.max(axis=1, keepdims=True)
    log_rest_N = highest_N1[:, 0] + np.log(np.exp(others_NC - highest_N1).sum(axis=1))
    return snapped(log_probs_NC[:, label] - log_rest_N, unit=1.0)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of the table of metrics."""

    name: str
    """Its name in the metrics JSON."""
    title: str
    """Its name for readers."""
    statistic: Callable[[LogProbs, _Labels], Statistic]
    higher_is_better: bool | None
    """None where neither is, as of what depends on the labels or the bins alone."""
    format: str = ".3f"
    """How its values are shown, a format specification."""
    headline: bool = False
    """Whether it stands in short tables, too, and is computed for every member."""
    centred: bool = False
    """Whether it is never below 0 and noise can only raise it, so that its draws must be centred on its value."""
    calibration: ErrorMaker | None = None
    """For a calibration error its maker for labels that vary: it has a noise floor."""
    summed: Summed | None = None
    """For a calibration error that can be freed of noise how: it is compared by its `true_error`."""
    same_as: str | None = None
    """The metric that is the same number for those classes: it is neither shown nor compared a second time."""
    classes: int | None = None
    """The one number of classes that it is defined for; None for any."""


def _calibration_error(
    name: str,
    title: str,
    make: ErrorMaker,
    summed: Summed | None,
    *,
    headline: bool = False,
    classes: int | None = None,
    same_as: str | None = None,
) -> Metric:
    return Metric(
        name=name,
        title=title,
        statistic=against_labels(make),
        higher_is_better=False,
        headline=headline,
        centred=True,
        calibration=make,
        summed=summed,
        same_as=same_as,
        classes=classes,
    )


METRICS = (
    Metric(name="accuracy", title="Accuracy", statistic=accuracy, higher_is_better=True, format=".1%", headline=True),
    Metric(
        name="balanced_accuracy",
        title="Balanced accuracy",
        statistic=balanced_accuracy,
        higher_is_better=True,
        format=".1%",
    ),
    Metric(name="macro_f1", title="Macro F1", statistic=macro_f1, higher_is_better=True, format=".1%"),
    Metric(name="auc", title="ROC AUC", statistic=auc, higher_is_better=True, headline=True),
    Metric(
        name="average_precision",
        title="Average precision",
        statistic=average_precision,
        higher_is_better=True,
        headline=True,
    ),
    Metric(name="nll", title="NLL (nats)", statistic=nll, higher_is_better=False, headline=True),
    Metric(name="brier", title="Brier score", statistic=brier, higher_is_better=False, headline=True),
    _calibration_error("ece", "ECE (15 bins)", calibration.ece, residual_sums.ECE, headline=True),
    _calibration_error("equal_mass_ece", "ECE (equal mass)", calibration.equal_mass_ece, residual_sums.EQUAL_MASS_ECE),
    _calibration_error("classwise_ece", "Classwise ECE", calibration.classwise_ece, residual_sums.CLASSWISE_ECE),
    _calibration_error("mce", "MCE (15 bins)", calibration.mce, None),
    _calibration_error("smooth_ece", "Smooth ECE", smooth_ece, residual_sums.SMOOTH_ECE),
    _calibration_error(
        "binary_ece",
        "ECE of class 1",
        calibration.binary_ece,
        residual_sums.CLASSWISE_ECE,
        classes=2,
        same_as="classwise_ece",
    ),
    _calibration_error("brier_reliability", "Brier: reliability", brier_reliability, residual_sums.BRIER_RELIABILITY),
    Metric(
        name="brier_resolution",
        title="Brier: resolution",
        statistic=brier_part("brier_resolution"),
        higher_is_better=True,
        centred=True,
    ),
    Metric(
        name="brier_uncertainty",
        title="Brier: uncertainty",
        statistic=brier_part("brier_uncertainty"),
        higher_is_better=None,
    ),
    Metric(
        name="brier_within_bins",
        title="Brier: within bins",
        statistic=brier_part("brier_within_bins"),
        higher_is_better=None,
    ),
)

HEADLINE = tuple(metric for metric in METRICS if metric.headline)

CENTRED = frozenset(metric.name for metric in METRICS if metric.centred)
"""The names of the metrics whose bootstrap draws must be centred on their value."""


def metrics_for(classes: int) -> tuple[Metric, ...]:
    """Return the metrics that are defined for so many classes."""
    return tuple(metric for metric in METRICS if metric.classes in (None, classes))


def summed_for(metrics: Iterable[Metric]) -> dict[str, Summed]:
    """Return of those metrics that can be freed of noise how, by name."""
    return {metric.name: metric.summed for metric in metrics if metric.summed is not None}


def quality_family(log_probs_NC: LogProbs, labels_N: _Labels) -> Family[str]:
    """Return all metrics of one predictor as a family, the parts of the Brier score from one split."""
    wanted = metrics_for(log_probs_NC.shape[1])
    split = brier_split(log_probs_NC, labels_N)
    alone = family_of(
        {metric.name: metric.statistic(log_probs_NC, labels_N) for metric in wanted if metric.name not in BRIER_PARTS}
    )

    def family(weights_DN: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        values = {**alone(weights_DN), **split(weights_DN)}
        return {metric.name: values[metric.name] for metric in wanted}

    return family
