"""Temperature scaling: one number that makes the probabilities of a set of logits as confident as they should be.

It is fitted on labelled calibration examples, never on those that are then evaluated. An ensemble can be
scaled in two places: its pooled probability by one temperature, or every member by its own before they are pooled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp, log_softmax
from ensemble_uq_llm.member import MemberId

LOWEST, HIGHEST = 0.01, 100.0

_PRECISION = 1e-10  # of the logarithm of the temperature


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """What logits are divided by; above 1 makes them less confident."""

    value: float
    at_bound: bool
    """Whether the best temperature lies outside 0.01 to 100: the labels are all predicted (or all missed) and
    the more confident (or the flatter) the better, so more calibration examples are needed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibratedLogProbs:
    """The test examples' log-probabilities after calibration, and the temperatures that made them."""

    log_probs_NC: NDArray[np.float64]
    """Log of the ensemble's probability."""
    temperatures: tuple[Temperature, ...]
    """The one of the pooled probability, or one a member."""
    members: tuple[MemberId, ...] | None
    """The members whose temperatures they are; None where one is applied to the pooled probability."""

    def as_json(self) -> dict[str, Any]:
        """Return the temperature of the pooled probability, or those of the members by seed."""
        if self.members is None:
            (pooled,) = self.temperatures
            return {"temperature": pooled.value, "at_bound": pooled.at_bound}
        members = list(zip(self.members, self.temperatures, strict=True))
        return {
            "temperatures": {str(member.seed): each.value for member, each in members},
            "at_bound": [member.seed for member, each in members if each.at_bound],
        }


def fit_temperature(logits_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> Temperature:
    """Return the temperature T that minimises the NLL of softmax(logits / T) (Guo et al. 2017, arXiv:1706.04599).

    The NLL is convex in 1/T, so its minimum is where the derivative changes sign: bisection over log T.
    Logits that are equal for all classes are the same at any temperature, and keep 1.

    Args:
        logits_NC: unnormalised log-probabilities.
        labels_N: class indices, all known.

    Raises:
        DataError: there is no example.
    """
    if not len(labels_N):
        raise DataError("there is no labelled example to fit a temperature on; label some or give another set")
    slope = _slope_of_nll(logits_NC, labels_N)
    low, high = log(LOWEST), log(HIGHEST)
    coldest, hottest = slope(LOWEST), slope(HIGHEST)
    if coldest == hottest == 0:
        return Temperature(value=1.0, at_bound=False)
    if coldest <= 0:
        return Temperature(value=LOWEST, at_bound=True)
    if hottest >= 0:
        return Temperature(value=HIGHEST, at_bound=True)
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(exp(middle)) > 0 else (low, middle)
    return Temperature(value=exp((low + high) / 2), at_bound=False)


def calibrate(test: Predictions, calibration: Predictions) -> dict[str, CalibratedLogProbs]:
    """Return the test examples' log-probabilities, calibrated on other examples in two ways.

    `pooled`: one temperature on the log of the pooled probability ("pool, then calibrate", which Rahaman and
    Thiery 2021, arXiv:2007.08792, recommend: calibrated members make an underconfident ensemble).
    `per_member`: every member's logits by its own temperature, then the mean of the probabilities.

    Args:
        test: the examples to calibrate, labelled or not.
        calibration: the examples to fit on; only the labelled ones are used. Members are matched by seed;
            those that the test set lacks are ignored.

    Raises:
        DataError: the calibration set lacks a member, has no label, another number of classes, or shares
            examples with the test set.
    """
    check_disjoint(test, calibration)
    labels_N = calibration.labels_N[calibration.labelled_N]
    fitted_MNC = _members_of(test, calibration)[:, calibration.labelled_N]
    pooled_NC = log_mean_exp(log_softmax(test.logits_MNC))
    pooled = fit_temperature(log_mean_exp(log_softmax(fitted_MNC)), labels_N)
    members = tuple(fit_temperature(logits_NC, labels_N) for logits_NC in fitted_MNC)
    values_M11 = np.array([each.value for each in members])[:, None, None]
    return {
        "pooled": CalibratedLogProbs(
            log_probs_NC=log_softmax(pooled_NC / pooled.value), temperatures=(pooled,), members=None
        ),
        "per_member": CalibratedLogProbs(
            log_probs_NC=log_mean_exp(log_softmax(test.logits_MNC / values_M11)),
            temperatures=members,
            members=test.members,
        ),
    }


def check_disjoint(test: Predictions, calibration: Predictions) -> None:
    """Refuse a calibration set whose labelled examples are test examples too: same id and same logits.

    Raises:
        DataError: there are such examples; the message counts them. Or as `calibrate`, for the members.
    """
    logits_MNC = _members_of(test, calibration)
    labelled = calibration.labelled_N.tolist()
    row_of = {example: row for row, example in enumerate(calibration.ids) if labelled[row]}
    pairs = [(row, row_of[example]) for row, example in enumerate(test.ids) if example in row_of]
    if not pairs:
        return
    test_rows, rows = (list(each) for each in zip(*pairs, strict=True))
    same_N = (test.logits_MNC[:, test_rows] == logits_MNC[:, rows]).all(axis=(0, 2))
    if same_N.any():
        first = test.ids[test_rows[int(same_N.argmax())]]
        raise DataError(
            f"{int(same_N.sum())} of {len(test.ids)} test examples are calibration examples too (the first is "
            f"{first!r}); nothing may be fitted on the rows that are then evaluated, so calibrate on other examples"
        )


def _members_of(test: Predictions, calibration: Predictions) -> NDArray[np.float32]:
    """Return the calibration logits of the test set's members, in their order."""
    missing = [member.title for member in test.members if member not in calibration.members]
    if missing:
        raise DataError(
            f"the calibration set has no member of {', '.join(missing)}; predict it with the same members as "
            "the test set"
        )
    if calibration.logits_MNC.shape[2] != test.logits_MNC.shape[2]:
        raise DataError(
            f"the calibration set has {calibration.logits_MNC.shape[2]} classes, the test set "
            f"{test.logits_MNC.shape[2]}; calibrate on a set of the same task"
        )
    return calibration.logits_MNC[[calibration.members.index(member) for member in test.members]]


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
