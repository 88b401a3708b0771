from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.temperature import HIGHEST, LOWEST, fit_temperature, fit_temperatures
from ensemble_uq_llm.evaluation.records import FittedTemperature
from ensemble_uq_llm.member import MemberId
from small_predictions import predicted


def problem(n, classes, *, seed, scale=1.0):
    """Labels drawn from the softmax of logits, which are then seen `scale` times too large."""
    rng = np.random.default_rng(seed)
    logits_NC = 2 * rng.normal(size=(n, classes))
    labels_N = (logits_NC + rng.gumbel(size=(n, classes))).argmax(axis=1)
    return scale * logits_NC, labels_N


def nll_at(temperature, logits_NC, labels_N):
    log_probs_NC = scipy_log_softmax(logits_NC / temperature, axis=1)
    return -log_probs_NC[np.arange(len(labels_N)), labels_N].mean()


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 5]), st.sampled_from([0.2, 1.0, 7.0]))
def test_no_temperature_has_a_lower_nll(seed, classes, scale):
    logits_NC, labels_N = problem(60, classes, seed=seed, scale=scale)
    fitted = fit_temperature(logits_NC, labels_N)
    best = minimize_scalar(
        lambda log_t: nll_at(np.exp(log_t), logits_NC, labels_N),
        bounds=np.log([LOWEST, HIGHEST]),
        method="bounded",
        options={"xatol": 1e-9},
    )

    assert nll_at(fitted.value, logits_NC, labels_N) <= best.fun + 1e-12
    if not fitted.at_bound:
        assert np.log(fitted.value) == pytest.approx(best.x, abs=1e-5)


class Member(ClassifierMixin, BaseEstimator):
    """A classifier whose decision values are the rows that it is given."""

    def __init__(self, classes=2):
        self.classes = classes

    def fit(self, X, y):
        self.classes_ = np.arange(self.classes)
        return self

    def decision_function(self, X):
        return X if self.classes > 2 else X[:, 1] - X[:, 0]

    def predict(self, X):
        return X.argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 4])
def test_agrees_with_scikit_learn(classes):
    pytest.importorskip("sklearn", minversion="1.8", reason="temperature scaling came with 1.8")
    logits_NC, labels_N = problem(400, classes, seed=classes, scale=3.0)
    member = Member(classes).fit(logits_NC, labels_N)
    reference = CalibratedClassifierCV(FrozenEstimator(member), method="temperature", ensemble=False)
    theirs_NC = reference.fit(logits_NC, labels_N).predict_proba(logits_NC)

    ours_NC = np.exp(scipy_log_softmax(logits_NC / fit_temperature(logits_NC, labels_N).value, axis=1))
    assert ours_NC == pytest.approx(theirs_NC, abs=1e-4)
    assert log_loss(labels_N, ours_NC) <= log_loss(labels_N, theirs_NC) + 1e-12


def test_it_finds_the_scale_of_logits_that_are_too_large():
    logits_NC, labels_N = problem(20_000, 3, seed=0)
    one, four = (fit_temperature(scale * logits_NC, labels_N).value for scale in (1.0, 4.0))

    assert one == pytest.approx(1.0, abs=0.05)
    assert four == pytest.approx(4 * one, rel=1e-9)


def test_two_examples_of_which_one_is_right_have_a_closed_form():
    # Margins 3 (right) and -1 (wrong): 3 s(-3b) = s(b) for b = 1/T, with s the logistic function.
    fitted = fit_temperature(np.array([[0.0, 3.0], [1.0, 0.0]]), np.array([1, 1]))
    beta = 1 / fitted.value

    assert 3 / (1 + np.exp(3 * beta)) == pytest.approx(1 / (1 + np.exp(-beta)), abs=1e-9)


def test_separable_inverted_and_indifferent_logits():
    logits_NC, labels_N = np.array([[2.0, -1.0], [0.0, 50.0], [1.0, 0.5]]), np.array([0, 1, 0])

    assert fit_temperature(logits_NC, labels_N).at_bound
    assert fit_temperature(logits_NC, labels_N).value == LOWEST
    assert fit_temperature(logits_NC, 1 - labels_N).at_bound
    assert fit_temperature(logits_NC, 1 - labels_N).value == HIGHEST
    same = fit_temperature(np.full((3, 2), 7.0), labels_N)
    assert (same.value, same.at_bound) == (1.0, False)


def test_huge_logits_do_not_overflow():
    logits_NC, labels_N = problem(200, 3, seed=1)
    moderate, huge = (fit_temperature(scale * logits_NC, labels_N) for scale in (1.0, 90.0))

    assert huge.value == pytest.approx(90 * moderate.value)
    assert fit_temperature(1e30 * logits_NC, labels_N).at_bound


def two_sets(**options):
    return predicted(50, seed=1, **options), predicted(300, seed=2, **options)


def fitted_on(calibration):
    return fit_temperatures(calibration.logits_MNC, calibration.labels_N, calibration.members)


@pytest.mark.parametrize("classes", [2, 5])
def test_both_places_of_scaling(classes):
    test, calibration = two_sets(classes=classes, noise=2.0)
    temperatures = fitted_on(calibration)
    calibrated = temperatures.apply(test.logits_MNC)
    labels_N = calibration.labels_N

    def softmax(logits, temperature=1.0):
        return np.exp(scipy_log_softmax(logits.astype(np.float64) / temperature, axis=-1))

    alone = [fit_temperature(logits_NC, labels_N) for logits_NC in calibration.logits_MNC]
    members_MNC = [softmax(z_NC, each.value) for z_NC, each in zip(test.logits_MNC, alone, strict=True)]
    assert [each.value for each in temperatures.per_member] == [each.value for each in alone]
    assert tuple(each.member for each in temperatures.per_member) == calibration.members
    assert np.exp(calibrated["per_member"]) == pytest.approx(np.mean(members_MNC, axis=0))

    pooled = fit_temperature(np.log(softmax(calibration.logits_MNC).mean(axis=0)), labels_N)
    powers_NC = softmax(test.logits_MNC).mean(axis=0) ** (1 / pooled.value)
    assert temperatures.pooled.value == pytest.approx(pooled.value)
    assert temperatures.pooled.member is None
    assert np.exp(calibrated["pooled"]) == pytest.approx(powers_NC / powers_NC.sum(axis=1, keepdims=True))


def test_calibration_repairs_overconfident_members():
    test, calibration = predicted(800, seed=1), predicted(800, seed=2)
    test, calibration = (replace(each, logits_MNC=6 * each.logits_MNC) for each in (test, calibration))
    temperatures = fitted_on(calibration)

    before = nll_at(1.0, test.logits_MNC[0], test.labels_N)
    for log_probs_NC in temperatures.apply(test.logits_MNC).values():
        assert nll_at(1.0, log_probs_NC, test.labels_N) < before / 2
    assert all(each.value > 3 for each in (temperatures.pooled, *temperatures.per_member))


def test_a_temperature_at_the_bound_says_whose_it_is():
    _, calibration = two_sets(members=2)
    logits_MNC = calibration.logits_MNC.copy()
    logits_MNC[1] = 9 * np.eye(2)[calibration.labels_N]  # separable
    temperatures = fitted_on(replace(calibration, logits_MNC=logits_MNC))

    assert temperatures.pooled.at_bound
    assert [each.at_bound for each in temperatures.per_member] == [False, True]
    assert temperatures.per_member[1] == FittedTemperature(member=MemberId(43), value=LOWEST, at_bound=True)


def test_a_single_member_is_scaled_the_same_in_both_places():
    test, calibration = two_sets(members=1)
    calibrated = fitted_on(calibration).apply(test.logits_MNC)

    assert calibrated["pooled"] == pytest.approx(calibrated["per_member"])


def test_without_examples_there_is_nothing_to_fit_on():
    with pytest.raises(DataError, match="no labelled example to fit a temperature on"):
        fit_temperature(np.empty((0, 2)), np.empty(0, dtype=np.int64))
