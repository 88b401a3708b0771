import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from ensemble_uq_llm.statistics.correlation import correlation, rank_correlation
from ensemble_uq_llm.statistics.statistic import value_of


def two_values(seed, *, levels, n=40):
    """On few levels values tie."""
    rng = np.random.default_rng(seed)
    first_N = rng.integers(levels, size=n) / levels
    return first_N, np.round(first_N**3 + 0.5 * rng.normal(size=n), 1 if levels < 10 else 9)


@pytest.mark.parametrize("levels", [2, 3, 10**9])
@pytest.mark.parametrize(("ours", "theirs"), [(correlation, pearsonr), (rank_correlation, spearmanr)])
@given(seed=st.integers(0, 10**6))
def test_agrees_with_scipy_for_examples_and_resamplings(ours, theirs, levels, seed):
    first_N, second_N = two_values(seed, levels=levels)
    counts_N = np.bincount(np.random.default_rng(seed).integers(40, size=40), minlength=40)
    got_D = ours(first_N, second_N)(np.stack([np.ones(40), counts_N]).astype(np.float64))

    listed = theirs(first_N.repeat(counts_N), second_N.repeat(counts_N)).statistic
    assert got_D == pytest.approx([theirs(first_N, second_N).statistic, listed], abs=1e-12)


def test_a_draw_that_holds_one_value_only_is_undefined():
    first_N, second_N = np.array([0.1, 0.1, 0.7]), np.array([0.3, 0.9, 0.5])
    weights_DN = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])

    for statistic in (correlation(first_N, second_N), rank_correlation(first_N, second_N)):
        assert np.isnan(statistic(weights_DN)).tolist() == [False, True, True]


@pytest.mark.parametrize("make", [correlation, rank_correlation])
def test_a_constant_and_a_single_example_are_undefined(make):
    assert np.isnan(value_of(make(np.full(5, 0.1), np.arange(5.0)), 5))
    assert np.isnan(value_of(make(np.ones(1), np.ones(1)), 1))


def test_no_digits_are_lost_beside_a_large_offset():
    rng = np.random.default_rng(0)
    first_N, second_N = rng.normal(size=(2, 100))

    assert value_of(correlation(1e6 + first_N, second_N), 100) == pytest.approx(
        pearsonr(first_N, second_N)[0], abs=1e-8
    )


def test_ranks_ignore_the_scale():
    first_N, second_N = two_values(1, levels=10**9)

    got = value_of(rank_correlation(np.exp(20 * first_N), second_N**3), 40)
    assert got == pytest.approx(value_of(rank_correlation(rankdata(first_N), second_N), 40))
    assert value_of(rank_correlation(first_N, -np.exp(first_N)), 40) == pytest.approx(-1)
