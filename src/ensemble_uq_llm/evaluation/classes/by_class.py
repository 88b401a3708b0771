"""Class by class: precision, recall and F1, their means over classes, and which class is taken for which."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import ByClass, Confusion, OfClass
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import Resampled
from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.statistics.statistic import Family, Statistic
from ensemble_uq_llm.statistics.ties import most_probable

LARGEST_MATRIX: Final = 100
"""The most classes for which the whole confusion matrix is told."""

_MOST_CONFUSIONS = 20


def balanced_accuracy(log_probs_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> Statistic:
    """Mean of the classes' recall, over those that have examples: scikit-learn's `balanced_accuracy_score`."""
    sums = _Sums.of(log_probs_NC, labels_N)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = sums.of_draws(weights_DN)
        return _mean_over_defined(counts.right_DC, counts.labelled_DC)

    return statistic


def macro_f1(log_probs_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> Statistic:
    """Mean of the classes' F1, over those that are a label or an answer: scikit-learn's `f1_score(average="macro")`."""
    sums = _Sums.of(log_probs_NC, labels_N)

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = sums.of_draws(weights_DN)
        return _mean_over_defined(2 * counts.right_DC, counts.labelled_DC + counts.answered_DC)

    return statistic


def class_family(log_probs_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> Family[tuple[str, int]]:
    """Return every class's `precision`, `recall` and `f1` as one family, by name and class; NaN where undefined."""
    sums, classes = _Sums.of(log_probs_NC, labels_N), log_probs_NC.shape[1]

    def family(weights_DN: NDArray[np.float64]) -> dict[tuple[str, int], NDArray[np.float64]]:
        counts = sums.of_draws(weights_DN)
        numbers = {
            "precision": _shares(counts.right_DC, counts.answered_DC),
            "recall": _shares(counts.right_DC, counts.labelled_DC),
            "f1": _shares(2 * counts.right_DC, counts.labelled_DC + counts.answered_DC),
        }
        return {(name, c): shares_DC[:, c] for name, shares_DC in numbers.items() for c in range(classes)}

    return family


def measure_classes(
    answers_N: NDArray[np.int64], labels_N: NDArray[np.int64], resampled: Resampled[tuple[str, int]], *, classes: int
) -> ByClass:
    """Return every class's numbers and the confusions.

    A precision or recall of exactly 0 or 1 gets the exact binomial interval, for no resampling contains the other
    outcome; an F1 of 0 or 1 gets none.

    Args:
        answers_N: the ensemble's classes.
        labels_N: the labels, all known; at least one.
        resampled: the numbers of `class_family`.
        classes: how many there are.
    """
    matrix_CC = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix_CC, (labels_N, answers_N), 1)
    labelled_C, answered_C, right_C = matrix_CC.sum(axis=1), matrix_CC.sum(axis=0), matrix_CC.diagonal()
    return ByClass(
        classes=tuple(
            OfClass(
                label=c,
                n=int(labelled_C[c]),
                share=float(labelled_C[c] / len(labels_N)),
                answered=int(answered_C[c]),
                precision=_share(resampled.estimate(("precision", c)), int(right_C[c]), int(answered_C[c])),
                recall=_share(resampled.estimate(("recall", c)), int(right_C[c]), int(labelled_C[c])),
                f1=_without_false_certainty(resampled.estimate(("f1", c))),
            )
            for c in range(classes)
        ),
        matrix=tuple(map(tuple, matrix_CC.tolist())) if classes <= LARGEST_MATRIX else None,
        largest_confusions=_largest_confusions(matrix_CC),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counts:
    """Of every draw, how often each class is the label, the answer, and both."""

    labelled_DC: NDArray[np.float64]
    answered_DC: NDArray[np.float64]
    right_DC: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sums:
    """Where each class is the label, the answer, and both."""

    labels_N: NDArray[np.int64]
    answers_N: NDArray[np.int64]
    right_W: NDArray[np.intp]
    """The examples that are answered correctly."""
    classes: int

    @staticmethod
    def of(log_probs_NC: NDArray[np.float64], labels_N: NDArray[np.int64]) -> "_Sums":
        answers_N = most_probable(log_probs_NC)
        right_W = np.flatnonzero(answers_N == labels_N)
        return _Sums(labels_N=labels_N, answers_N=answers_N, right_W=right_W, classes=log_probs_NC.shape[1])

    def of_draws(self, weights_DN: NDArray[np.float64]) -> _Counts:
        return _Counts(
            labelled_DC=_sums_by_class(weights_DN, self.labels_N, self.classes),
            answered_DC=_sums_by_class(weights_DN, self.answers_N, self.classes),
            right_DC=_sums_by_class(weights_DN[:, self.right_W], self.labels_N[self.right_W], self.classes),
        )


def _sums_by_class(weights_DN: NDArray[np.float64], class_N: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    order_N = np.argsort(class_N, kind="stable")
    present_C, first_C = np.unique(class_N[order_N], return_index=True)
    sums_DC = np.zeros((len(weights_DN), classes))
    if present_C.size:
        sums_DC[:, present_C] = np.add.reduceat(weights_DN[:, order_N], first_C, axis=1)
    return sums_DC


def _shares(above_DC: NDArray[np.float64], below_DC: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above_DC, below_DC, out=np.full_like(above_DC, np.nan), where=below_DC != 0)


def _mean_over_defined(above_DC: NDArray[np.float64], below_DC: NDArray[np.float64]) -> NDArray[np.float64]:
    shares_DC = np.divide(above_DC, below_DC, out=np.zeros_like(above_DC), where=below_DC != 0)
    mean_D: NDArray[np.float64] = shares_DC.sum(axis=1) / (below_DC != 0).sum(axis=1)
    return mean_D


def _share(estimate: Estimate, successes: int, trials: int) -> Estimate:
    if estimate.ci95 and estimate.value in (0.0, 1.0):
        return replace(estimate, ci95=clopper_pearson(successes, trials))
    return estimate


def _without_false_certainty(estimate: Estimate) -> Estimate:
    return replace(estimate, ci95=None) if estimate.value in (0.0, 1.0) else estimate


def _largest_confusions(matrix_CC: NDArray[np.int64]) -> tuple[Confusion, ...]:
    """Return the most frequent mistakes, the most frequent first, in the order of the classes where they tie."""
    wrong_CC = matrix_CC - np.diag(matrix_CC.diagonal())
    order = np.argsort(-wrong_CC, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    pairs = (divmod(place, len(matrix_CC)) for place in order.tolist())
    return tuple(
        Confusion(label=label, answer=answer, n=int(wrong_CC[label, answer]))
        for label, answer in pairs
        if wrong_CC[label, answer]
    )
