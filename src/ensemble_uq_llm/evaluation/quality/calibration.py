"""How far probabilities are from frequencies: calibration errors.

A `CalibrationError` is prepared once from the predictions and then evaluated for weights and labels that may
both vary from draw to draw: the bootstrap varies how often an example counts, the noise floor varies the labels.
Noise only raises such an error: even a perfectly calibrated predictor has an ECE of about 0.01 on 3,270 examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.labels.lacking_options import lacks
from ensemble_uq_llm.statistics.statistic import Statistic
from ensemble_uq_llm.statistics.ties import bin_of, most_probable, snapped

ECE_BINS = 15

LogProbs: TypeAlias = NDArray[np.float64]
CalibrationError: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
ErrorMaker: TypeAlias = Callable[[LogProbs], CalibrationError]


def against_labels(make: ErrorMaker) -> Callable[[LogProbs, NDArray[np.int64]], Statistic]:
    """Return the error as a statistic of the examples' weights, the labels being what they are."""

    def prepare(log_probs_NC: LogProbs, labels_N: NDArray[np.int64]) -> Statistic:
        error = make(log_probs_NC)
        return lambda weights_DN: error(weights_DN, labels_N[None])

    return prepare


def ece(log_probs_NC: LogProbs) -> CalibrationError:
    """Expected calibration error of the predicted class, 15 bins of equal width (Guo et al. 2017, eq. 3)."""
    forecast = top_label(log_probs_NC)
    return _mean_gap(forecast, confidence_bin(forecast.probability_N))


def equal_mass_ece(log_probs_NC: LogProbs) -> CalibrationError:
    """Expected calibration error of the predicted class, 15 bins of equally many examples.

    Equal confidences always share a bin. The bins are those of the examples as they are, also where a draw
    weights them otherwise. Source: Nguyen and O'Connor 2015 (arXiv:1508.05154); Roelofs et al. 2022
    (arXiv:2012.08668), who find it the less biased choice.
    """
    forecast = top_label(log_probs_NC)
    return _mean_gap(forecast, equal_mass_bin(forecast.probability_N))


def classwise_ece(log_probs_NC: LogProbs) -> CalibrationError:
    """Mean over classes of the binned error of p_c against label = c (Kull et al. 2019, arXiv:1910.12656).

    Where examples lack classes it is the mean over the classes that they have: a class counts as often as it is there.
    """
    forecasts = [of_class(log_probs_NC, c) for c in range(log_probs_NC.shape[1])]
    errors = [_mean_gap(forecast, confidence_bin(forecast.probability_N)) for forecast in forecasts]
    portion = _portion_possible(forecasts)

    def error(weights_DN: NDArray[np.float64], labels_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        mean_D: NDArray[np.float64] = np.mean([each(weights_DN, labels_DN) for each in errors], axis=0)
        return mean_D / portion(weights_DN)

    return error


def binary_ece(log_probs_NC: LogProbs) -> CalibrationError:
    """Binned error of p_1 against label = 1, of two classes: it differs from the predicted class's error.

    Raises:
        ValueError: there are more classes than two.
    """
    if log_probs_NC.shape[1] != 2:
        raise ValueError(f"there are {log_probs_NC.shape[1]} classes, but binary_ece is for two; use classwise_ece")
    forecast = of_class(log_probs_NC, 1)
    return _mean_gap(forecast, confidence_bin(forecast.probability_N))


def mce(log_probs_NC: LogProbs) -> CalibrationError:
    """Maximum calibration error: the largest gap of a filled bin of the ECE (Naeini et al. 2015, AAAI)."""
    forecast = top_label(log_probs_NC)
    bins = Bins.of(confidence_bin(forecast.probability_N))

    def error(weights_DN: NDArray[np.float64], labels_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        excess_DH = bins.sums(bins.sort(weights_DN * forecast.residuals(labels_DN)))
        worst_D: NDArray[np.float64] = np.abs(bins.means(excess_DH, bins.sums(bins.sort(weights_DN)))).max(axis=1)
        return worst_D

    return error


def confidence_bin(probability_N: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return each probability's bin [b/15, (b+1)/15); exactly 1.0 belongs to the last."""
    return bin_of(probability_N, np.linspace(0.0, 1.0, ECE_BINS + 1)[1:-1])


def equal_mass_bin(probability_N: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return each probability's bin of 15 with equally many examples; an edge belongs to the bin below it."""
    rank_of_edge = [-(-len(probability_N) * b // ECE_BINS) for b in range(1, ECE_BINS)]  # rounded up
    ranked_N = snapped(probability_N)
    inner_edges = np.sort(ranked_N)[np.array(rank_of_edge) - 1]
    return np.searchsorted(inner_edges, ranked_N, side="left")


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """An event in every example, that its label is the `answer`, and the probability given to it."""

    probability_N: NDArray[np.float64]
    answer_N: NDArray[np.intp]
    possible_N: NDArray[np.bool_] | None = None
    """Where the example has that class at all; None: everywhere. Elsewhere probability and residual are 0."""

    def weights(self, weights_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights of the examples, 0 where the event is impossible."""
        return weights_DN if self.possible_N is None else weights_DN * self.possible_N

    def residuals(self, labels_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability minus whether the event happened, [D, N]."""
        return self.probability_N - (labels_DN == self.answer_N)


def top_label(log_probs_NC: LogProbs) -> Forecast:
    """Return the forecast that the label is the most probable class (the lowest index where several are)."""
    answer_N = most_probable(log_probs_NC)
    log_prob_N1 = np.take_along_axis(log_probs_NC, answer_N[:, None], axis=1)
    return Forecast(probability_N=np.exp(log_prob_N1[:, 0]), answer_N=answer_N)


def of_class(log_probs_NC: LogProbs, label: int) -> Forecast:
    """Return the forecast that the label is this one."""
    lacks_N = lacks(log_probs_NC[:, label])
    return Forecast(
        probability_N=np.exp(log_probs_NC[:, label]),
        answer_N=np.full(len(log_probs_NC), label, dtype=np.intp),
        possible_N=~lacks_N if lacks_N.any() else None,
    )


def of_each_class(log_probs_NC: LogProbs) -> list[Forecast]:
    """Return the forecasts of all classes that some example has; of two classes that of class 1 says all."""
    classes = log_probs_NC.shape[1]
    forecasts = [of_class(log_probs_NC, c) for c in ([1] if classes == 2 else range(classes))]
    return [each for each in forecasts if each.possible_N is None or each.possible_N.any()]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bins:
    """Examples sorted by bin; H counts the filled bins only."""

    filled_H: NDArray[np.intp]
    """The numbers of the filled bins."""
    order_N: NDArray[np.intp]
    starts_H: NDArray[np.intp]

    @staticmethod
    def of(bin_N: NDArray[np.intp]) -> "Bins":
        """Sort examples by the number of their bin."""
        order_N = np.argsort(bin_N, kind="stable")
        starts_H = np.flatnonzero(np.diff(bin_N[order_N], prepend=-1))
        return Bins(filled_H=bin_N[order_N[starts_H]], order_N=order_N, starts_H=starts_H)

    def sort(self, values_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values with those of a bin side by side."""
        return values_DN.take(self.order_N, axis=1)  # several times faster than indexing the second axis

    def sums(self, sorted_DN: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over every filled bin of sorted values, [D, H]."""
        sums_DH: NDArray[np.float64] = np.add.reduceat(sorted_DN, self.starts_H, axis=1)
        return sums_DH

    @staticmethod
    def means(sums_DH: NDArray[np.float64], weight_DH: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return every bin's mean; 0 where a draw has left the bin empty."""
        return np.divide(sums_DH, weight_DH, out=np.zeros_like(sums_DH), where=weight_DH > 0)


def _mean_gap(forecast: Forecast, bin_N: NDArray[np.intp]) -> CalibrationError:
    """Return the mean over bins, by their weight, of |mean probability - frequency|."""
    bins = Bins.of(bin_N)

    def error(weights_DN: NDArray[np.float64], labels_DN: NDArray[np.int64]) -> NDArray[np.float64]:
        excess_DH = bins.sums(bins.sort(weights_DN * forecast.residuals(labels_DN)))
        gap_D: NDArray[np.float64] = np.abs(excess_DH).sum(axis=1) / weights_DN.sum(axis=1)
        return gap_D

    return error


def _portion_possible(forecasts: Sequence[Forecast]) -> Callable[[NDArray[np.float64]], NDArray[np.float64] | float]:
    """Return the share of possible events among those of all examples, as a function of the examples' weights."""
    if all(each.possible_N is None for each in forecasts):
        return lambda weights_DN: 1.0
    share_N = np.mean([np.ones(len(f.answer_N)) if f.possible_N is None else f.possible_N for f in forecasts], axis=0)
    return lambda weights_DN: weights_DN @ share_N / weights_DN.sum(axis=1)
