"""Temperature scaling: one number that makes the probabilities of a set of logits as confident as they should be.

It is fitted on labelled calibration examples, never on those that are then evaluated. An ensemble can be
scaled in two places: its pooled probability by one temperature, or every member by its own before they are pooled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.records import FittedTemperature
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp, log_softmax
from ensemble_uq_llm.member import MemberId

LOWEST: Final = 0.01
HIGHEST: Final = 100.0

Place: TypeAlias = Literal["pooled", "per_member"]
"""Where a temperature is applied."""

_PRECISION = 1e-10  # of the logarithm of the temperature


def fit_temperature(
    logits_NC: NDArray[np.floating], labels_N: NDArray[np.int64], *, member: MemberId | None = None
) -> FittedTemperature:
    """Return the temperature T that minimises the NLL of softmax(logits / T) (Guo et al. 2017, arXiv:1706.04599).

    The NLL is convex in 1/T, so its minimum is where the derivative changes sign: bisection over log T.
    Logits that are equal for all classes are the same at any temperature, and keep 1. `at_bound` says that the best
    temperature lies outside 0.01 to 100: the labels are all predicted (or all missed) and the more confident (or the
    flatter) the better, so more calibration examples are needed.

    Args:
        logits_NC: unnormalised log-probabilities.
        labels_N: class indices, all known.
        member: whose logits they are; None for the pooled ones.

    Raises:
        DataError: there is no example.
    """
    if not len(labels_N):
        raise DataError("there is no labelled example to fit a temperature on; label some or give another set")
    value = _minimise_nll(_slope_of_nll(logits_NC, labels_N))
    return FittedTemperature(member=member, value=value, at_bound=value in (LOWEST, HIGHEST))


@dataclass(frozen=True, kw_only=True)
class Temperatures:
    """The temperatures of an ensemble, in either place."""

    pooled: FittedTemperature
    """On the log of the pooled probability ("pool, then calibrate", which Rahaman and Thiery 2021, arXiv:2007.08792,
    recommend: calibrated members make an underconfident ensemble)."""
    per_member: tuple[FittedTemperature, ...]
    """On every member's logits, before the mean of the probabilities."""

    def apply(self, logits_MNC: NDArray[np.floating]) -> dict[Place, NDArray[np.float64]]:
        """Return the ensemble's calibrated log-probabilities [N, C], by where the temperature is applied.

        Args:
            logits_MNC: of the members of `per_member`, in their order.
        """
        values_M11 = np.array([each.value for each in self.per_member])[:, None, None]
        pooled_NC = log_mean_exp(log_softmax(logits_MNC))
        return {
            "pooled": log_softmax(pooled_NC / self.pooled.value),
            "per_member": log_mean_exp(log_softmax(logits_MNC / values_M11)),
        }


def fit_temperatures(
    logits_MNC: NDArray[np.floating],
    labels_N: NDArray[np.int64],
    members: Sequence[MemberId],
    *,
    pooled_NC: NDArray[np.float64] | None = None,
    left_out_MN: NDArray[np.bool_] | None = None,
) -> Temperatures:
    """Return the temperature of the pooled probability and that of every member.

    Args:
        logits_MNC: the members' logits of the calibration examples.
        labels_N: their labels, all known.
        members: who the members are.
        pooled_NC: the pooled log-probabilities; those of all members where they are not given.
        left_out_MN: of training rows, where a member was not trained on the example; only these are its own.

    Raises:
        DataError: there is no example.
    """
    own_MN = np.ones(logits_MNC.shape[:2], np.bool_) if left_out_MN is None else left_out_MN
    return Temperatures(
        pooled=fit_temperature(
            log_mean_exp(log_softmax(logits_MNC)) if pooled_NC is None else pooled_NC,
            labels_N,
        ),
        per_member=tuple(
            fit_temperature(logits_NC[own_N], labels_N[own_N], member=member)
            for member, logits_NC, own_N in zip(members, logits_MNC, own_MN, strict=True)
        ),
    )


def _minimise_nll(slope: Callable[[float], float]) -> float:
    low, high = log(LOWEST), log(HIGHEST)
    coldest, hottest = slope(LOWEST), slope(HIGHEST)
    if coldest == hottest == 0:
        return 1.0
    if coldest <= 0:
        return LOWEST
    if hottest >= 0:
        return HIGHEST
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(exp(middle)) > 0 else (low, middle)
    return exp((low + high) / 2)


def _slope_of_nll(logits_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> Callable[[float], float]:
    """Return the derivative of the mean NLL by 1/T, as a function of T: mean_n (E_p[z] - z_label)."""
    exact_NC = logits_NC.astype(np.float64)
    # Measured from the label's logit, so that the slope of confident right answers does not vanish by rounding.
    margins_NC = exact_NC - exact_NC[np.arange(len(labels_N)), labels_N, None]
    highest_N1 = margins_NC.max(axis=1, keepdims=True)

    def slope(temperature: float) -> float:
        weights_NC = np.exp((margins_NC - highest_N1) / temperature)
        expected_N = (weights_NC * margins_NC).sum(axis=1) / weights_NC.sum(axis=1)
        return float(expected_N.mean())

    return slope
