"""How near the predictions are to the true probabilities, where a synthetic world knows them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import Bins, confidence_bin
from ensemble_uq_llm.evaluation.scores import Quantity
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.correlation import correlation, rank_correlation
from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.statistics.statistic import Statistic, family_of, weighted_mean, weighted_ratio
from ensemble_uq_llm.statistics.ties import most_probable, snapped

CENTRED: Final = frozenset({"calibration_error"})
"""The statistics that noise can only raise, so that their bootstrap draws must be centred."""

TRUTH_NUMBERS: Final = (
    Quantity(name="mean_absolute_error", title="Mean |p - true p|", format=".3f", higher_is_better=False),
    Quantity(name="kl", title="KL(true || predicted), nats", format=".3f", higher_is_better=False),
    Quantity(name="bayes_accuracy", title="Bayes accuracy (the ceiling)", format=".1%", higher_is_better=None),
    Quantity(name="accuracy_of_bayes", title="Accuracy / Bayes accuracy", format=".1%", higher_is_better=True),
    Quantity(name="bayes_decisions", title="Bayes decisions matched", format=".1%", higher_is_better=True),
    Quantity(name="calibration_error", title="ECE against the true probability", format=".3f", higher_is_better=False),
    Quantity(
        name="aleatoric_correlation",
        title="Expected entropy ~ true entropy, r",
        format=".3f",
        higher_is_better=True,
    ),
    Quantity(name="aleatoric_rank_correlation", title="The same of their ranks", format=".3f", higher_is_better=True),
    Quantity(name="aleatoric_gap", title="Expected minus true entropy, nats", format="+.3f", higher_is_better=None),
)
"""The numbers that compare predicted with true probabilities."""

_TIE = 1e-12  # true probabilities this near each other are equal up to rounding


def measure_truth(
    uncertainty: Uncertainty,
    true_probs_NC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    *,
    draws: int,
    seed: int,
) -> dict[str, Estimate]:
    """Return every number of `TRUTH_NUMBERS` with its interval, over all examples.

    Args:
        uncertainty: of the examples.
        true_probs_NC: their true probabilities.
        labels_N: class indices, negative where unknown.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    statistics = truth_statistics(
        uncertainty.log_probs_NC, true_probs_NC, labels_N, expected_entropy_N=uncertainty.expected_entropy_N
    )
    resampled = resample(family_of(statistics), sizes=[len(labels_N)], draws=draws, seed=seed)
    return resampled.estimates(centred=CENTRED)


def truth_statistics(
    log_probs_NC: NDArray[np.float64],
    true_probs_NC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    *,
    expected_entropy_N: NDArray[np.float64] | None = None,
) -> dict[str, Statistic]:
    """Return the statistics that compare predicted with true probabilities, by their names in the JSON.

    `mean_absolute_error`: |p - p_true|, the mean over classes (for two classes |p_yes - true_yes|).
    `kl`: the Kullback-Leibler divergence KL(true || predicted), in nats: the part of the NLL that a better
    model could save. `bayes_accuracy`: the accuracy expected of one who knows the truth, a ceiling.
    `accuracy_of_bayes`: the accuracy as a share of that ceiling, over the labelled examples (above 1 by
    luck with the labels; undefined without labels). `bayes_decisions`: the share of examples where the predicted
    class is a truly most probable one. `calibration_error`: the expected calibration error with the predicted
    class's true probability in place of the label, so that no luck with labels is in it; same bins as the `ece`.

    With the expected entropy, which estimates the aleatoric uncertainty, also how well it does so, against the
    true entropy H[p_true]: `aleatoric_correlation` (Pearson) and `aleatoric_rank_correlation` (Spearman), both
    undefined where the true entropy is constant, and `aleatoric_gap`: its mean minus the mean true entropy, in
    nats, positive where the members are less sure than the truth allows.

    Args:
        log_probs_NC: predicted log-probabilities.
        true_probs_NC: true probabilities.
        labels_N: class indices, negative where unknown.
        expected_entropy_N: mean over members of the entropy, in nats.
    """
    rows = np.arange(len(labels_N))
    prediction_N = most_probable(log_probs_NC)
    best_N = true_probs_NC.max(axis=1)
    labelled_N = labels_N >= 0
    # Where the true probability is 0 its term is 0: the logarithm there is taken of 1 instead.
    log_true_NC = np.log(np.where(true_probs_NC > 0, true_probs_NC, 1.0))
    chosen_true_N = true_probs_NC[rows, prediction_N]
    statistics = {
        "mean_absolute_error": weighted_mean(np.abs(np.exp(log_probs_NC) - true_probs_NC).mean(axis=1)),
        "kl": weighted_mean((true_probs_NC * (log_true_NC - log_probs_NC)).sum(axis=1)),
        "bayes_accuracy": weighted_mean(best_N),
        "accuracy_of_bayes": weighted_ratio(prediction_N == labels_N, best_N * labelled_N),
        "bayes_decisions": weighted_mean(chosen_true_N >= best_N - _TIE),
        "calibration_error": _calibration_error(np.exp(log_probs_NC.max(axis=1)), chosen_true_N),
    }
    if expected_entropy_N is not None:
        true_entropy_N = -(true_probs_NC * log_true_NC).sum(axis=1)
        statistics |= {
            "aleatoric_correlation": correlation(expected_entropy_N, true_entropy_N),
            "aleatoric_rank_correlation": rank_correlation(snapped(expected_entropy_N), snapped(true_entropy_N)),
            "aleatoric_gap": weighted_mean(expected_entropy_N - true_entropy_N),
        }
    return statistics


def _calibration_error(confidence_N: NDArray[np.float64], true_N: NDArray[np.float64]) -> Statistic:
    bins, gap_N = Bins.of(confidence_bin(confidence_N)), confidence_N - true_N

    def statistic(weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        excess_DH = bins.sums(bins.sort(weights_DN * gap_N))
        error_D: NDArray[np.float64] = np.abs(excess_DH).sum(axis=1) / weights_DN.sum(axis=1)
        return error_D

    return statistic
