"""How near the predictions are to the true probabilities, where a synthetic world knows them."""

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.inference.statistic import Statistic, weighted_mean, weighted_ratio

_TIE = 1e-12  # true probabilities this near each other are equal up to rounding


def truth_statistics(
    log_probs_NC: NDArray[np.float64], true_probs_NC: NDArray[np.float64], labels_N: NDArray[np.int64]
) -> dict[str, Statistic]:
    """Return the statistics that compare predicted with true probabilities, by their names in the JSON.

    `mean_absolute_error`: |p - p_true|, the mean over classes (for two classes |p_yes - true_yes|).
    `kl`: the Kullback-Leibler divergence KL(true || predicted), in nats: the part of the NLL that a better
    model could save. `bayes_accuracy`: the accuracy expected of one who knows the truth, a ceiling.
    `accuracy_of_bayes`: the accuracy as a share of that ceiling, over the labelled examples (above 1 by
    luck with the labels; undefined without labels). `bayes_decisions`: the share of examples where the predicted
    class is a truly most probable one.

    Args:
        log_probs_NC: predicted log-probabilities.
        true_probs_NC: true probabilities.
        labels_N: class indices, negative where unknown.
    """
    rows = np.arange(len(labels_N))
    prediction_N = log_probs_NC.argmax(axis=1)
    best_N = true_probs_NC.max(axis=1)
    labelled_N = labels_N >= 0
    # Where the true probability is 0 its term is 0: the logarithm there is taken of 1 instead.
    log_true_NC = np.log(np.where(true_probs_NC > 0, true_probs_NC, 1.0))
    return {
        "mean_absolute_error": weighted_mean(np.abs(np.exp(log_probs_NC) - true_probs_NC).mean(axis=1)),
        "kl": weighted_mean((true_probs_NC * (log_true_NC - log_probs_NC)).sum(axis=1)),
        "bayes_accuracy": weighted_mean(best_N),
        "accuracy_of_bayes": weighted_ratio(prediction_N == labels_N, best_N * labelled_N),
        "bayes_decisions": weighted_mean(true_probs_NC[rows, prediction_N] >= best_N - _TIE),
    }
