"""What the Brier score is made of: reliability - resolution + uncertainty, and what lies within the bins.

Murphy 1973 split the score of forecasts that take few values. Of binned forecasts two terms more remain, the
variance of the forecasts within a bin and twice their covariance with the outcomes (Stephenson, Coelho and
Jolliffe 2008, doi:10.1175/2007WAF2006116.1); with their difference the sum is exact. The convention is that of
`metrics.brier`: of two classes p_1 alone is split, of more the parts are summed over the classes.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.quality.calibration import (
    Bins,
    CalibrationError,
    Forecast,
    LogProbs,
    confidence_bin,
    of_each_class,
)
from ensemble_uq_llm.statistics.statistic import Family, Statistic

PARTS = ("brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins")


def brier_split(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> Family[str]:
    """Return the parts of the Brier score, in 15 bins of equal width.

    `brier_reliability`: squared gaps between probability and frequency; 0 is best.
    `brier_resolution`: squared differences of the bins' frequencies from the overall one; high is good.
    `brier_uncertainty`: the score of who always says the overall frequency; a property of the labels alone.
    `brier_within_bins`: variance within bins minus twice the covariance; below 0 where finer bins would resolve more.
    The score is reliability - resolution + uncertainty + within bins. A class that examples lack is split over those
    that have it.
    """
    splits = [_split(forecast, labels_N) for forecast in of_each_class(log_probs_NC)]

    def family(weights_DN: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        parts = [split(weights_DN) for split in splits]
        return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}

    return family


def brier_part(name: str) -> Callable[[LogProbs, NDArray[np.int64]], Statistic]:
    """Return one part of the split as a metric."""

    def prepare(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> Statistic:
        family = brier_split(log_probs_NC, labels_N)
        return lambda weights_DN: family(weights_DN)[name]

    return prepare


def brier_reliability(log_probs_NC: LogProbs) -> CalibrationError:
    """Return the reliability alone, for labels that vary."""
    errors = [_reliability(forecast) for forecast in of_each_class(log_probs_NC)]
    return lambda weights_DN, labels_DN: np.sum([error(weights_DN, labels_DN) for error in errors], axis=0)


def _reliability(forecast: Forecast) -> CalibrationError:
    bins = Bins.of(confidence_bin(forecast.probability_N))

    def error(weights_DN: NDArray[np.float64], labels_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        weight_DH = bins.sums(bins.sort(forecast.weights(weights_DN)))
        excess_DH = bins.sums(bins.sort(weights_DN * forecast.residuals(labels_DN)))
        squares_D: NDArray[np.float64] = (excess_DH * bins.means(excess_DH, weight_DH)).sum(axis=1)
        return squares_D / _total(weight_DH, weights_DN, forecast)

    return error


def _split(forecast: Forecast, labels_N: NDArray[np.int64]) -> Family[str]:
    bins = Bins.of(confidence_bin(forecast.probability_N))
    forecast_N = forecast.probability_N[bins.order_N]
    outcome_N = (labels_N == forecast.answer_N)[bins.order_N].astype(np.float64)
    square_N = forecast_N * (forecast_N - 2 * outcome_N)

    def family(weights_DN: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        sorted_DN = bins.sort(forecast.weights(weights_DN))
        weight_DH = bins.sums(sorted_DN)
        forecast_DH = bins.means(bins.sums(sorted_DN * forecast_N), weight_DH)
        outcome_DH = bins.means(bins.sums(sorted_DN * outcome_N), weight_DH)
        total_D = weight_DH.sum(axis=1)
        share_DH = bins.means(weight_DH, np.broadcast_to(total_D[:, None], weight_DH.shape))
        overall_D = (share_DH * outcome_DH).sum(axis=1)
        between_D = (share_DH * forecast_DH * (forecast_DH - 2 * outcome_DH)).sum(axis=1)
        parts = {
            "brier_reliability": (share_DH * (forecast_DH - outcome_DH) ** 2).sum(axis=1),
            "brier_resolution": (share_DH * (outcome_DH - overall_D[:, None]) ** 2).sum(axis=1),
            "brier_uncertainty": overall_D * (1 - overall_D),
            "brier_within_bins": bins.means(sorted_DN @ square_N, total_D) - between_D,
        }
        if forecast.possible_N is None:
            return parts
        portion_D = total_D / weights_DN.sum(axis=1)  # of the examples that have the class
        return {name: part_D * portion_D for name, part_D in parts.items()}

    return family


def _total(weight_DH: NDArray[np.float64], weights_DN: NDArray[np.float64], forecast: Forecast) -> NDArray[np.float64]:
    """Return the weight of all examples, those included that lack the class."""
    total_D: NDArray[np.float64] = (weight_DH if forecast.possible_N is None else weights_DN).sum(axis=1)
    return total_D
