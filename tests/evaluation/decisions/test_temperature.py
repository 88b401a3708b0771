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
from ensemble_uq_llm.evaluation.decisions.temperature import HIGHEST, LOWEST, calibrate, check_disjoint, fit_temperature
from ensemble_uq_llm.member import trained
from small_predictions import predicted, unlabelled


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


def renamed(predictions, prefix):
    return replace(predictions, ids=tuple(f"{prefix}{example}" for example in predictions.ids))


def two_sets(**options):
    return predicted(50, seed=1, **options), renamed(predicted(300, seed=2, **options), "c")


@pytest.mark.parametrize("classes", [2, 5])
def test_both_places_of_scaling(classes):
    test, calibration = two_sets(classes=classes, noise=2.0)
    calibrated = calibrate(test, calibration)
    labels_N = calibration.labels_N

    def softmax(logits, temperature=1.0):
        return np.exp(scipy_log_softmax(logits.astype(np.float64) / temperature, axis=-1))

    temperatures = [fit_temperature(logits_NC, labels_N) for logits_NC in calibration.logits_MNC]
    members_MNC = [softmax(z_NC, t.value) for z_NC, t in zip(test.logits_MNC, temperatures, strict=True)]
    assert calibrated["per_member"].temperatures == tuple(temperatures)
    assert np.exp(calibrated["per_member"].log_probs_NC) == pytest.approx(np.mean(members_MNC, axis=0))

    pooled = fit_temperature(np.log(softmax(calibration.logits_MNC).mean(axis=0)), labels_N)
    powers_NC = softmax(test.logits_MNC).mean(axis=0) ** (1 / pooled.value)
    assert calibrated["pooled"].temperatures[0].value == pytest.approx(pooled.value)
    assert np.exp(calibrated["pooled"].log_probs_NC) == pytest.approx(powers_NC / powers_NC.sum(axis=1, keepdims=True))


def test_calibration_repairs_overconfident_members():
    test, calibration = predicted(800, seed=1), renamed(predicted(800, seed=2), "c")
    test, calibration = (replace(each, logits_MNC=6 * each.logits_MNC) for each in (test, calibration))

    before = nll_at(1.0, 6 * predicted(800, seed=1).logits_MNC[0], test.labels_N)
    for each in calibrate(test, calibration).values():
        assert nll_at(1.0, each.log_probs_NC, test.labels_N) < before / 2
        assert all(temperature.value > 3 for temperature in each.temperatures)


def test_members_are_matched_by_seed():
    test, calibration = two_sets(members=3)
    shuffled = replace(calibration, members=trained((44, 42, 43)), logits_MNC=calibration.logits_MNC[[2, 0, 1]])
    two = replace(test, members=trained((44, 42)), logits_MNC=test.logits_MNC[[2, 0]])

    straight, turned = calibrate(test, calibration), calibrate(test, shuffled)
    assert straight["per_member"].as_json() == turned["per_member"].as_json()
    assert straight["pooled"].log_probs_NC == pytest.approx(turned["pooled"].log_probs_NC)
    assert calibrate(two, shuffled)["per_member"].temperatures == straight["per_member"].temperatures[2::-2]


def test_a_missing_member_is_named():
    test, calibration = two_sets()
    fewer = replace(calibration, members=trained((42, 44, 7)))

    with pytest.raises(DataError, match="no member of seed 43;"):
        calibrate(test, fewer)


def test_another_number_of_classes_is_refused():
    with pytest.raises(DataError, match="has 3 classes, the test set 2"):
        calibrate(predicted(), renamed(predicted(classes=3), "c"))


def test_only_labelled_calibration_examples_count():
    test, calibration = two_sets()
    scrambled = calibration.logits_MNC.copy()
    scrambled[:, :40] *= -9

    part = unlabelled(replace(calibration, logits_MNC=scrambled), first=40)
    assert calibrate(test, part)["pooled"].temperatures == (fit_temperature(*pooled_of(calibration, slice(40, None))),)
    with pytest.raises(DataError, match="no labelled example to fit a temperature on"):
        calibrate(test, unlabelled(calibration))


def pooled_of(predictions, rows):
    probs_MNC = np.exp(scipy_log_softmax(predictions.logits_MNC.astype(np.float64), axis=2))
    return np.log(probs_MNC.mean(axis=0))[rows], predictions.labels_N[rows]


def test_nothing_is_fitted_on_test_rows():
    test, calibration = predicted(30, seed=1), predicted(30, seed=2)
    leaking = calibration.logits_MNC.copy()
    leaking[:, 12:14] = test.logits_MNC[:, 12:14]
    leaking[0, 20] = test.logits_MNC[0, 20]  # one member's logits may be equal by chance

    check_disjoint(test, calibration)  # the same names in two files need not be the same examples
    with pytest.raises(DataError, match=r"2 of 30 test examples are calibration examples too \(the first is 'q12'\)"):
        calibrate(test, replace(calibration, logits_MNC=leaking))


def test_one_file_may_hold_both_where_the_test_rows_have_no_label_there():
    whole = predicted(60)
    test = replace(whole, ids=whole.ids[:20], labels=whole.labels[:20], logits_MNC=whole.logits_MNC[:, :20])

    check_disjoint(test, unlabelled(whole, first=20))
    with pytest.raises(DataError, match="20 of 20 test examples"):
        check_disjoint(test, whole)


def test_json_says_whose_temperatures_they_are():
    test, calibration = two_sets(members=2)
    logits_MNC = calibration.logits_MNC.copy()
    logits_MNC[1] = 9 * np.eye(2)[calibration.labels_N]  # separable
    calibrated = calibrate(test, replace(calibration, logits_MNC=logits_MNC))

    assert calibrated["pooled"].as_json() == {
        "temperature": calibrated["pooled"].temperatures[0].value,
        "at_bound": True,
    }
    first = calibrated["per_member"].temperatures[0]
    assert not first.at_bound
    assert calibrated["per_member"].as_json() == {"temperatures": {"42": first.value, "43": LOWEST}, "at_bound": [43]}


def test_a_single_member_is_scaled_the_same_in_both_places():
    calibrated = calibrate(*two_sets(members=1))

    assert calibrated["pooled"].log_probs_NC == pytest.approx(calibrated["per_member"].log_probs_NC)
