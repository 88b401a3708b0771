"""What answering without looking would earn: always the commonest class, or always the classes' frequencies.

The frequencies are those of the evaluated labels themselves: the best that constant answers could be, known only in
hindsight. That flatters them, by about 1/sqrt(n), so who is better than they are has learned something. Where examples
lack classes, the probabilities of those they have are such that each class is expected as often as it is the label.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.classes.constant_weights import fitting_weights
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.records import BesideConstant, ConstantAnswers
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.labels.lacking_options import LACKING
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.statistic import Family, family_of

COMPARED: Final = tuple(metric for metric in METRICS if metric.name in ("accuracy", "nll", "brier"))
"""The metrics that mean something of constant answers: those that rank say 0.5, and calibration errors 0."""


def constant_family(
    labels_N: NDArray[np.int64], classes: int, *, lacks_NC: NDArray[np.bool_] | None = None
) -> Family[str]:
    """Return the metrics of `COMPARED` of the constant answers, as a family.

    The NLL is the entropy of the frequencies, the Brier score their Gini impurity (half of it for two classes), where
    no example lacks a class.
    """
    count_C = np.bincount(labels_N, minlength=classes)
    commonest_NC = _shared_out(count_C, labels_N, lacks_NC)
    probable_NC = (
        commonest_NC if lacks_NC is None else _shared_out(fitting_weights(labels_N, lacks_NC), labels_N, lacks_NC)
    )
    return family_of(
        {
            metric.name: metric.statistic(commonest_NC if metric.name == "accuracy" else probable_NC, labels_N)
            for metric in COMPARED
        }
    )


def _shared_out(
    weight_C: NDArray[Any], labels_N: NDArray[np.int64], lacks_NC: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Return the log-probabilities of every example [N, C], as the weights of the classes that it has."""
    share_C = weight_C / weight_C.sum()
    log_share_C = np.log(np.where(share_C > 0, share_C, np.finfo(np.float64).tiny))
    log_share_NC = np.broadcast_to(log_share_C, (len(labels_N), len(weight_C)))
    return log_share_NC if lacks_NC is None else log_softmax(np.where(lacks_NC, LACKING, log_share_NC))


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
