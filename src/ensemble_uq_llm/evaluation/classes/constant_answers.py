"""What answering without looking would earn: always the commonest class, or always the classes' frequencies.

The frequencies are those of the evaluated labels themselves: the best that constant answers could be, known only in
hindsight. That flatters them, by about 1/sqrt(n), so who is better than they are has learned something.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.records import BesideConstant, ConstantAnswers
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.statistic import Family, family_of

COMPARED: Final = tuple(metric for metric in METRICS if metric.name in ("accuracy", "nll", "brier"))
"""The metrics that mean something of constant answers: those that rank say 0.5, and calibration errors 0."""


def constant_family(labels_N: NDArray[np.int64], classes: int) -> Family[str]:
    """Return the metrics of `COMPARED` of the constant answers, as a family.

    The majority class is the one of highest frequency, so one predictor serves all: its NLL is the entropy of the
    frequencies, its Brier score their Gini impurity (half of it for two classes).
    """
    frequencies_C = np.bincount(labels_N, minlength=classes) / len(labels_N)
    log_probs_C = np.log(np.where(frequencies_C > 0, frequencies_C, np.finfo(np.float64).tiny))
    log_probs_NC = np.broadcast_to(log_probs_C, (len(labels_N), classes))
    return family_of({metric.name: metric.statistic(log_probs_NC, labels_N) for metric in COMPARED})


def measure_constant(
    answers_N: NDArray[np.int64], labels_N: NDArray[np.int64], constant: Resampled[str], ensemble: Resampled[str]
) -> ConstantAnswers:
    """Return the constant answers' metrics, and the ensemble's difference from each.

    Args:
        answers_N: the ensemble's classes.
        labels_N: the labels, all known; at least one.
        constant: the numbers of `constant_family`.
        ensemble: the ensemble's, from the same draws.
    """
    majority = int(np.bincount(labels_N).argmax())
    # Where both are right, or both wrong, an example says nothing of the accuracies' difference.
    differing = {"accuracy": int(((answers_N == labels_N) != (labels_N == majority)).sum())}

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
