"""What answering without looking would earn: always the commonest class, or always the classes' frequencies.

The frequencies are those of the evaluated labels themselves: the best that constant answers could be, known only in
hindsight. That flatters them, by about 1/sqrt(n), so who is better than they are has learned something.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.records import BesideConstant, ConstantAnswers
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.labels.lacking_options import LACKING
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.statistic import Family, family_of

COMPARED: Final = tuple(metric for metric in METRICS if metric.name in ("accuracy", "nll", "brier"))
"""The metrics that mean something of constant answers: those that rank say 0.5, and calibration errors 0."""


def constant_log_probs(
    labels_N: NDArray[np.int64], classes: int, lacks_NC: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Return the log-frequencies of the classes for every example [N, C]; among its own classes where it lacks some."""
    frequencies_C = np.bincount(labels_N, minlength=classes) / len(labels_N)
    log_probs_C = np.log(np.where(frequencies_C > 0, frequencies_C, np.finfo(np.float64).tiny))
    log_probs_NC = np.broadcast_to(log_probs_C, (len(labels_N), classes))
    return log_probs_NC if lacks_NC is None else log_softmax(np.where(lacks_NC, LACKING, log_probs_NC))


def constant_family(
    labels_N: NDArray[np.int64], classes: int, *, lacks_NC: NDArray[np.bool_] | None = None
) -> Family[str]:
    """Return the metrics of `COMPARED` of the constant answers, as a family.

    The majority class is the one of highest frequency, so one predictor serves all: its NLL is the entropy of the
    frequencies, its Brier score their Gini impurity (half of it for two classes).
    """
    log_probs_NC = constant_log_probs(labels_N, classes, lacks_NC)
    return family_of({metric.name: metric.statistic(log_probs_NC, labels_N) for metric in COMPARED})


def measure_constant(
    answers_N: NDArray[np.int64],
    labels_N: NDArray[np.int64],
    constant: Resampled[str],
    ensemble: Resampled[str],
    *,
    lacks_NC: NDArray[np.bool_] | None = None,
) -> ConstantAnswers:
    """Return the constant answers' metrics, and the ensemble's difference from each.

    Args:
        answers_N: the ensemble's classes.
        labels_N: the labels, all known; at least one.
        constant: the numbers of `constant_family`.
        ensemble: the ensemble's, from the same draws.
        lacks_NC: the classes that each example lacks; its constant answer is the commonest of the others.
    """
    frequency_C = np.bincount(labels_N, minlength=1 if lacks_NC is None else lacks_NC.shape[1])
    majority = int(frequency_C.argmax())
    constant_N = majority if lacks_NC is None else np.where(lacks_NC, -1, frequency_C).argmax(axis=1)
    # Where both are right, or both wrong, an example says nothing of the accuracies' difference.
    differing = {"accuracy": int(((answers_N == labels_N) != (labels_N == constant_N)).sum())}

    def gain(name: str) -> Comparison:
        ours, theirs = ((each.values[name], each.draws_D[name]) for each in (ensemble, constant))
        return compare(*ours, *theirs, examples=len(labels_N), differing=differing.get(name))

    return ConstantAnswers(
        majority=majority,
        metrics={
            metric.name: BesideConstant(value=constant.estimate(metric.name), gain=gain(metric.name))
            for metric in COMPARED
        },
    )
