import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from ensemble_uq_llm.evaluation.quality.calibration import Forecast, ece, top_label
from ensemble_uq_llm.evaluation.quality.smooth_ece import smooth_ece, smooth_error

POINTS_T = (np.arange(4000) + 0.5) / 4000
IMAGES_K = np.arange(-4, 5)


def smooth_error_of(probability_N, outcome_N, weights_N=None):
    probability_N, outcome_N = np.asarray(probability_N, dtype=float), np.asarray(outcome_N, dtype=np.int64)
    weights_N = np.ones(len(probability_N)) if weights_N is None else weights_N
    forecast = Forecast(probability_N=probability_N, answer_N=np.ones(len(probability_N), dtype=np.intp))
    return smooth_error(forecast)(weights_N[None], outcome_N[None])[0]


def by_hand(probability_N, residual_N, lowest=2e-3):
    """The definition: every example's reflected Gaussian as a sum of images, and a root finder."""

    def integral(sigma):
        smooth_T = np.zeros_like(POINTS_T)
        for place, residual in zip(probability_N, residual_N, strict=True):
            for mirrored in (place, -place):
                distance_TK = POINTS_T[:, None] - mirrored + 2 * IMAGES_K
                smooth_T += residual * norm.pdf(distance_TK, scale=sigma).sum(axis=1)
        return np.abs(smooth_T).mean() / len(probability_N)

    return brentq(lambda sigma: integral(sigma) - sigma, lowest, 1.0, xtol=1e-7)


@pytest.mark.parametrize(
    ("probability_N", "outcome_N"),
    [
        ([0.9], [0]),
        ([0.5, 0.5, 1.0], [1, 0, 0]),
        ([0.0, 0.0, 0.3, 1.0, 1.0], [0, 1, 1, 1, 0]),
        (np.linspace(0.02, 0.98, 12), np.arange(12) % 3 == 0),
        (np.random.default_rng(0).random(25), np.random.default_rng(1).random(25) < 0.5),
        (np.random.default_rng(2).beta(9, 1, size=25), np.random.default_rng(3).random(25) < 0.9),
    ],
)
def test_agrees_with_a_double_sum_over_examples_and_mirror_images(probability_N, outcome_N):
    expected = by_hand(probability_N, np.asarray(probability_N) - np.asarray(outcome_N))

    assert smooth_error_of(probability_N, outcome_N) == pytest.approx(expected, abs=2e-6)


def test_a_bandwidth_of_few_points_of_the_grid():
    """Two near probabilities whose gaps cancel if smoothed widely: the grid must not smooth them itself."""
    high, low, gap = 0.995, 0.985, 0.005
    frequencies = np.array([high + gap, low - gap])
    got = smooth_error_of(
        [high, high, low, low], [1, 0, 1, 0], np.stack([frequencies, 1 - frequencies], axis=1).flatten()
    )

    assert got == pytest.approx(by_hand([high, low], [-gap, gap], lowest=1e-3), rel=1e-4)


@pytest.mark.parametrize("probability", [0.0, 1e-4, 0.3, 0.5, 0.95, 1.0])
def test_of_one_probability_it_is_the_gap_to_the_frequency(probability):
    outcome_N = np.arange(50) < 20

    assert smooth_error_of(np.full(50, probability), outcome_N) == pytest.approx(abs(probability - 0.4), abs=1e-6)


@pytest.mark.parametrize("probability", [0.9993, 0.9997, 0.99999])
def test_a_gap_narrower_than_the_grid_is_kept(probability):
    got = smooth_error_of(np.full(10, probability), np.ones(10))

    assert got == pytest.approx(1 - probability, rel=0.01)


def test_a_certain_and_perfect_predictor_has_none():
    assert smooth_error_of([1.0, 0.0, 1.0], [1, 0, 1]) == 0.0


@settings(max_examples=50)
@given(st.integers(1, 60), st.sampled_from([2, 7, 10**6]), st.integers(0, 10**6))
def test_lies_between_the_mean_residual_and_the_mean_of_their_sizes(n, levels, seed):
    rng = np.random.default_rng(seed)
    probability_N = rng.integers(levels + 1, size=n) / levels
    residual_N = probability_N - (rng.random(n) < 0.5)
    outcome_N = np.round(probability_N - residual_N)

    got = smooth_error_of(probability_N, outcome_N)
    assert abs(residual_N.mean()) - 1e-6 <= got <= np.abs(residual_N).mean() + 1e-6


def test_weights_are_repetitions():
    rng = np.random.default_rng(5)
    probability_N, outcome_N, counts_N = rng.random(30), rng.random(30) < 0.4, rng.integers(0, 4, size=30)

    weighted = smooth_error_of(probability_N, outcome_N, counts_N.astype(float))
    assert weighted == pytest.approx(smooth_error_of(probability_N.repeat(counts_N), outcome_N.repeat(counts_N)))


def test_every_draw_is_evaluated_for_itself():
    """Also beyond the number of draws that are smoothed at once; up to the tolerance of the bandwidth."""
    rng = np.random.default_rng(6)
    log_probs_NC = np.log(rng.dirichlet(np.ones(3), size=40))
    error = smooth_ece(log_probs_NC)
    labels_DN, weights_DN = rng.integers(3, size=(150, 40)), rng.integers(3, size=(150, 40)).astype(float)

    alone = [error(weights_DN[d : d + 1], labels_DN[d : d + 1])[0] for d in range(150)]
    assert error(weights_DN, labels_DN) == pytest.approx(alone, abs=1e-6)
    ones_1N = np.ones((1, 40))
    alone = [error(ones_1N, labels_DN[d : d + 1])[0] for d in range(150)]
    assert error(ones_1N, labels_DN) == pytest.approx(alone, abs=1e-6)
    assert np.array_equal(top_label(log_probs_NC).answer_N, log_probs_NC.argmax(axis=1))


def test_does_not_jump_where_the_binned_error_does():
    """Two examples on either side of an edge: shifted into one bin, their gaps cancel all at once."""
    labels_1N = np.array([[0, 1]])

    def both(high):
        log_probs_NC = np.log(np.array([[1 - 0.599, 0.599], [1 - high, high]]))
        return [make(log_probs_NC)(np.ones((1, 2)), labels_1N)[0] for make in (ece, smooth_ece)]

    (binned, smooth), (binned_moved, smooth_moved) = both(0.601), both(0.5999)
    assert abs(binned - binned_moved) > 0.3
    assert smooth == pytest.approx(smooth_moved, abs=0.001)
