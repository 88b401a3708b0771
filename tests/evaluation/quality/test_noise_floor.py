import numpy as np
import pytest
from scipy.stats import binom

from ensemble_uq_llm.evaluation.quality.calibration import binary_ece, classwise_ece, ece, equal_mass_ece
from ensemble_uq_llm.evaluation.quality.noise_floor import NoiseFloor, consistency_band, noise_floor
from ensemble_uq_llm.evaluation.quality.smooth_ece import smooth_ece
from ensemble_uq_llm.statistics import draws as drawing


def softmax_of(logits_NC):
    return logits_NC - np.log(np.exp(logits_NC).sum(axis=1, keepdims=True))


def some_log_probs(n=200, classes=3, seed=0):
    return softmax_of(2 * np.random.default_rng(seed).normal(size=(n, classes)))


def two_classes(p_yes_N):
    return np.log(np.stack([1 - p_yes_N, p_yes_N], axis=1))


def standard_error(draws_D, other_D):
    return np.sqrt(draws_D.var() / len(draws_D) + other_D.var() / len(other_D))


def simulated_by_hand(probs_NC, draws, seed):
    """The ECE of labels drawn class by class from another generator, from a histogram instead of sorted sums."""
    rng = np.random.default_rng(seed)
    confidence_N, prediction_N = probs_NC.max(axis=1), probs_NC.argmax(axis=1)
    edges = np.arange(16) / 15
    errors = []
    for _ in range(draws):
        labels_N = np.array([rng.choice(len(probs_C), p=probs_C) for probs_C in probs_NC])
        gap_N = confidence_N - (labels_N == prediction_N)
        errors.append(np.abs(np.histogram(confidence_N, bins=edges, weights=gap_N)[0]).sum() / len(gap_N))
    return np.array(errors)


def test_agrees_with_a_direct_simulation():
    log_probs_NC = some_log_probs(n=100)
    theirs_D = simulated_by_hand(np.exp(log_probs_NC), draws=300, seed=99)
    floor = noise_floor(log_probs_NC, {"ece": ece(log_probs_NC)}, draws=2000, seed=1)["ece"]

    assert abs(floor.mean - theirs_D.mean()) < 4 * standard_error(floor.draws_D, theirs_D)
    above = (theirs_D > floor.p95).mean()
    assert abs(above - 0.05) < 4 * np.sqrt(0.05 * 0.95 * (1 / 300 + 1 / 2000))


def test_agrees_with_the_normal_approximation_of_many_examples():
    """A bin's mean residual is nearly normal, and E|x| of a normal is sqrt(2 / pi) standard deviations."""
    p_yes_N = np.random.default_rng(2).random(20_000)
    log_probs_NC = two_classes(p_yes_N)
    floor = noise_floor(log_probs_NC, {"error": binary_ece(log_probs_NC)}, draws=300)["error"]

    variances = np.histogram(p_yes_N, bins=15, range=(0, 1), weights=p_yes_N * (1 - p_yes_N))[0]
    expected = np.sqrt(2 / np.pi) * np.sqrt(variances).sum() / 20_000
    assert abs(floor.mean - expected) < 4 * floor.draws_D.std() / np.sqrt(300)


def test_reproduces_the_floor_of_boolq():
    """Notes on the field, 2.5: mean 0.94%, 95th percentile 1.5% for n = 3,270 at mean confidence 0.90.

    The notes do not name their confidences; these are Beta(18, 2). Both are simulations of 400 draws and rounded.
    """
    p_yes_N = np.random.default_rng(0).beta(18, 2, size=3270)
    log_probs_NC = two_classes(p_yes_N)
    floor = noise_floor(log_probs_NC, {"ece": ece(log_probs_NC)}, draws=400)["ece"]

    error_of_mean = floor.draws_D.std() * np.sqrt(2 / 400)
    assert p_yes_N.mean() == pytest.approx(0.90, abs=0.005)
    assert abs(floor.mean - 0.0094) < 0.00005 + 3 * error_of_mean
    # The 95th percentile of a normal sample has 2.1 times the standard error of its mean.
    assert abs(floor.p95 - 0.015) < 0.0005 + 3 * 2.1 * error_of_mean


def test_of_a_single_example_the_mean_is_known():
    log_probs_NC = two_classes(np.array([0.8]))
    floor = noise_floor(log_probs_NC, {"ece": ece(log_probs_NC)}, draws=1000)["ece"]

    assert set(floor.draws_D.round(12)) == {0.2, 0.8}
    assert abs(floor.mean - 2 * 0.8 * 0.2) < 4 * floor.draws_D.std() / np.sqrt(1000)


@pytest.mark.parametrize("classes", [2, 5])
def test_labels_are_drawn_from_the_probabilities(classes):
    log_probs_NC = some_log_probs(n=50, classes=classes)
    shares = {
        f"{c}/{n}": lambda _, labels_DN, c=c, n=n: labels_DN[:, n] == c for c in range(classes) for n in range(50)
    }
    floors = noise_floor(log_probs_NC, shares, draws=2000)

    for c in range(classes):
        got_N = np.array([floors[f"{c}/{n}"].mean for n in range(50)])
        expected_N = np.exp(log_probs_NC[:, c])
        assert (np.abs(got_N - expected_N) < 5 * np.sqrt(expected_N * (1 - expected_N) / 2000) + 1e-3).all()
        # Summed over examples the draws are independent, too: the errors of the shares cancel.
        assert abs(got_N.sum() - expected_N.sum()) < 4 * np.sqrt((expected_N * (1 - expected_N)).sum() / 2000)


def test_who_is_certain_has_no_floor():
    log_probs_NC = np.log(np.where(np.eye(2)[[0, 1, 1]] == 1, 1.0, 1e-300))
    floor = noise_floor(log_probs_NC, {"ece": ece(log_probs_NC)}, draws=50)["ece"]

    assert (floor.mean, floor.p95) == (0.0, 0.0)
    assert floor.p_value(0.0) == 1.0
    assert floor.p_value(0.1) == 1 / 51


def test_draws_depend_on_the_seed_alone(monkeypatch):
    log_probs_NC = some_log_probs(n=30)
    errors = {"ece": ece(log_probs_NC), "smooth_ece": smooth_ece(log_probs_NC)}
    whole = noise_floor(log_probs_NC, errors, draws=40, seed=3)
    monkeypatch.setattr(drawing, "_CHUNK", 100)
    parts = noise_floor(log_probs_NC, {"smooth_ece": errors["smooth_ece"], "ece": errors["ece"]}, draws=40, seed=3)
    other = noise_floor(log_probs_NC, errors, draws=40, seed=4)

    assert np.array_equal(whole["ece"].draws_D, parts["ece"].draws_D)
    assert whole["smooth_ece"].draws_D == pytest.approx(parts["smooth_ece"].draws_D, abs=1e-6)
    assert not np.array_equal(whole["ece"].draws_D, other["ece"].draws_D)


def test_no_draws_no_floor():
    log_probs_NC = some_log_probs(n=5)

    assert noise_floor(log_probs_NC, {"ece": ece(log_probs_NC)}, draws=0) == {}


def test_the_p_value_counts_ties_as_bad():
    floor = NoiseFloor(draws_D=np.array([0.1, 0.2, 0.3, 0.4]))

    assert floor.p_value(0.3) == (2 + 1) / 5
    assert floor.p_value(0.1 + 0.2) == floor.p_value(0.3)  # equal but for rounding
    assert floor.p_value(0.05) == 1.0
    beside = floor.beside(0.3, examples=20)
    assert (beside.mean, beside.p_value) == (pytest.approx(0.25), 0.6)
    assert beside.p95 == pytest.approx(np.percentile([0.1, 0.2, 0.3, 0.4], 95))


def test_of_few_examples_nothing_is_said():
    floor = NoiseFloor(draws_D=np.linspace(0.1, 0.3, 99))

    few, many = (floor.beside(0.5, examples=examples) for examples in (19, 20))
    assert (few.p_value, few.at_floor, few.chance_explains) == (None, False, None)
    assert (many.p_value, many.at_floor, many.chance_explains) == (1 / 100, True, False)
    assert not floor.beside(0.3, examples=20).at_floor


def test_tells_the_overconfident_from_the_calibrated():
    log_probs_NC = some_log_probs(n=1000)
    makers = {"ece": ece, "equal_mass_ece": equal_mass_ece, "classwise_ece": classwise_ece, "smooth_ece": smooth_ece}
    rng = np.random.default_rng(5)
    truth = [rng.choice(3, p=probs_C) for probs_C in np.exp(log_probs_NC)]
    sharp_NC = softmax_of(3 * log_probs_NC)

    for predicted_NC, within in ((log_probs_NC, True), (sharp_NC, False)):
        errors = {name: make(predicted_NC) for name, make in makers.items()}
        floors = noise_floor(predicted_NC, errors, draws=200)
        for name, error in errors.items():
            observed = error(np.ones((1, 1000)), np.array([truth]))[0]
            assert (floors[name].p_value(observed) > 0.05) == within, name


def test_the_band_is_that_of_the_binomial_distribution():
    confidence_N = np.repeat([0.62, 0.97, 1.0], [2000, 40, 7])
    band_H2 = consistency_band(confidence_N, draws=4000)

    assert np.isnan(np.delete(band_H2, [9, 14], axis=0)).all()
    slack = 4 * np.sqrt(0.025 * 0.975 / 4000)
    low, high = np.round(band_H2[9] * 2000)
    assert binom.cdf(low - 1, 2000, 0.62) - slack < 0.025 < binom.cdf(low, 2000, 0.62) + slack
    assert binom.cdf(high - 1, 2000, 0.62) - slack < 0.975 < binom.cdf(high, 2000, 0.62) + slack
    low = np.round(band_H2[14, 0] * 47) - 7  # the seven certain ones are always right
    assert binom.cdf(low - 1, 40, 0.97) - slack < 0.025 < binom.cdf(low, 40, 0.97) + slack
    assert band_H2[14, 1] == 1.0
