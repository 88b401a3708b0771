from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.statistics.ties import ROUNDING, at_most, bin_of, difference, most_probable, snapped

GRID = np.arange(1, 21) / 20


@given(st.permutations(range(60)), st.integers(0, 1000), st.sampled_from([1e-16, 1e-12, 5e-8]))
def test_copies_of_a_grid_with_noise_are_the_grid_in_any_order(order, seed, noise):
    rng = np.random.default_rng(seed)
    number_N = np.repeat(np.arange(20), 3)
    values_N = GRID[number_N] * (1 + noise * rng.uniform(-1, 1, 60))

    equal_NN = np.equal.outer(snapped(values_N), snapped(values_N))
    assert (equal_NN == np.equal.outer(number_N, number_N)).all()
    assert (snapped(values_N[order]) == snapped(values_N)[order]).all()


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50))
def test_order_is_kept_and_no_value_moves_farther_than_rounding(values):
    values_N = np.array(values)
    snapped_N = snapped(values_N)

    order_N = np.argsort(values_N, kind="stable")
    assert (np.diff(snapped_N[order_N]) >= 0).all()
    assert (np.abs(snapped_N - values_N) <= ROUNDING * np.abs(snapped_N)).all()
    assert (snapped(snapped_N) == snapped_N).all()


def test_no_chain_of_near_values_grows_beyond_rounding():
    dense_N = 1 + np.arange(100_000) * ROUNDING / 10

    assert len(np.unique(snapped(dense_N))) > 9_000


def test_small_values_mean_something_unless_a_unit_says_otherwise():
    values_N = np.array([1e-30, 2e-30, 0.0, -1e-17])

    assert len(np.unique(snapped(values_N))) == 4
    assert len(np.unique(snapped(values_N, unit=1.0))) == 1
    assert snapped(np.array([])).tolist() == []


def test_values_of_more_axes_keep_their_shape():
    assert snapped(np.array([[0.1 + 0.2, 0.3], [0.5, 0.3]])).tolist() == [[0.3, 0.3], [0.5, 0.3]]


def test_on_an_edge_is_above_it_and_on_a_threshold_within():
    edges = np.linspace(0, 1, 16)[1:-1]
    for tenths in range(11):
        expected = min(14, int(Fraction(tenths, 10) * 15))
        for value in (tenths / 10, 1 - (10 - tenths) / 10, np.nextafter(tenths / 10, 0)):
            assert bin_of(np.array([max(value, 0.0)]), edges).tolist() == [expected]
    assert at_most(np.array([0.1 + 0.2, 0.31]), np.array([0.3, np.inf])).tolist() == [True, True]
    assert at_most(np.array([1e-16, 0.31]), np.array(0.0)).tolist() == [False, False]
    assert at_most(np.array([1e-16, 0.31]), np.array(0.0), unit=1e-6).tolist() == [True, False]


def test_of_classes_that_tie_up_to_rounding_the_lowest_is_predicted():
    log_probs_NC = np.log([[0.3, 0.1 + 0.2, 0.4], [0.3, 0.1 + 0.2, 0.1], [0.2, 0.3, 0.5 - 1e-4]])

    assert most_probable(log_probs_NC).tolist() == [2, 0, 2]
    assert most_probable(np.stack([log_probs_NC, log_probs_NC])).shape == (2, 3)


def test_a_difference_of_rounding_is_none():
    assert difference(np.array([0.1 + 0.2, 0.3, 1e-9]), np.array([0.3, 0.2, 0.0])).tolist() == [
        0.0,
        pytest.approx(0.1),
        1e-9,
    ]
    assert float(difference(0.1 + 0.2, 0.3)) == 0.0
