"""How good predicted probabilities are against the labels.

Every metric takes `log_probs_NC` and `labels_N` (all known) and returns a `Statistic`; the literal table
`METRICS` at the end is the whole list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.inference.statistic import (
    Statistic,
    average_precision_of,
    roc_area,
    weighted_mean,
)

ECE_BINS = 15

_LogProbs: TypeAlias = NDArray[np.float64]
_Labels: TypeAlias = NDArray[np.int64]


def accuracy(log_probs_NC: _LogProbs, labels_N: _Labels) -> Statistic:
    """Share of examples whose most probable class is the label."""
    return weighted_mean(log_probs_NC.argmax(axis=1) == labels_N)


def auc(log_probs_NC: _LogProbs, labels_N: _Labels) -> Statistic:
    """Area under the ROC curve of class 1; for more classes the unweighted mean of one against the rest.

    Undefined where a class has no example, as in scikit-learn's `roc_auc_score(multi_class="ovr")`.
    """
    return _over_classes(roc_area, log_probs_NC, labels_N)


def average_precision(log_probs_NC: _LogProbs, labels_N: _Labels) -> Statistic:
    """Average precision of class 1; for more classes the unweighted mean of one against the rest.

    Undefined where a class has no example. Definition: scikit-learn's `average_precision_score`.
    """
    return _over_classes(average_precision_of, log_probs_NC, labels_N)


def nll(log_probs_NC: _LogProbs, labels_N: _Labels) -> Statistic:
    """Mean negative log-probability of the label, in nats: never infinite for finite logits."""
    return weighted_mean(-log_probs_NC[np.arange(len(labels_N)), labels_N])


def brier(log_probs_NC: _LogProbs, labels_N: _Labels) -> Statistic:
    """Mean squared error of the probabilities (Brier 1950): for two classes that of p_yes, from 0 to 1.

    For more classes the squared errors are summed, from 0 to 2: the convention of scikit-learn's
    `brier_score_loss(scale_by_half="auto")`.
    """
    classes = log_probs_NC.shape[1]
    squared_NC = (np.exp(log_probs_NC) - np.eye(classes)[labels_N]) ** 2
    return weighted_mean(squared_NC.sum(axis=1) / (2 if classes == 2 else 1))


def ece(log_probs_NC: _LogProbs, labels_N: _Labels) -> Statistic:
    """Expected calibration error of the predicted class, 15 bins of equal width (Guo et al. 2017, eq. 3).

    A sum of absolute values, which noise only raises: even a perfectly calibrated predictor scores about 0.015
    on 3,270 examples.
    """
    gap_N = np.exp(log_probs_NC.max(axis=1)) - (log_probs_NC.argmax(axis=1) == labels_N)
    gap_NH = gap_N[:, None] * np.eye(ECE_BINS)[confidence_bin(np.exp(log_probs_NC.max(axis=1)))]

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        error_D: NDArray[np.float64] = np.abs(weights_DN @ gap_NH).sum(axis=1) / weights_DN.sum(axis=1)
        return error_D

    return statistic


def confidence_bin(confidence_N: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return each confidence's bin [b/15, (b+1)/15); exactly 1.0 belongs to the last."""
    inner_edges = np.linspace(0.0, 1.0, ECE_BINS + 1)[1:-1]
    return np.searchsorted(inner_edges, confidence_N, side="right")


def _over_classes(
    of_class: Callable[[NDArray[np.float64], NDArray[np.bool_]], Statistic],
    log_probs_NC: _LogProbs,
    labels_N: _Labels,
) -> Statistic:
    classes = log_probs_NC.shape[1]
    if classes == 2:
        # The log-odds rank like p_yes, but do not tie where p_yes rounds to 1.
        return of_class(log_probs_NC[:, 1] - log_probs_NC[:, 0], labels_N == 1)
    parts = [of_class(log_probs_NC[:, c], labels_N == c) for c in range(classes)]
    return lambda weights_DN: np.mean([part(weights_DN) for part in parts], axis=0)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of the table of metrics."""

    name: str
    """Its name in the metrics JSON."""
    title: str
    """Its name for readers."""
    statistic: Callable[[_LogProbs, _Labels], Statistic]
    higher_is_better: bool
    format: str
    """How its values are shown, a format specification."""
    centred: bool = False
    """Whether noise can only raise it, so that its bootstrap draws must be centred on its value."""


METRICS = (
    Metric(name="accuracy", title="Accuracy", statistic=accuracy, higher_is_better=True, format=".1%"),
    Metric(name="auc", title="ROC AUC", statistic=auc, higher_is_better=True, format=".3f"),
    Metric(
        name="average_precision",
        title="Average precision",
        statistic=average_precision,
        higher_is_better=True,
        format=".3f",
    ),
    Metric(name="nll", title="NLL (nats)", statistic=nll, higher_is_better=False, format=".3f"),
    Metric(name="brier", title="Brier score", statistic=brier, higher_is_better=False, format=".3f"),
    Metric(name="ece", title="ECE (15 bins)", statistic=ece, higher_is_better=False, format=".3f", centred=True),
)
