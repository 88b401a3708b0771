import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.statistics.beta_binomial import beta_binomial, central_range

SHAPES = st.floats(0.2, 3000)


@given(st.integers(0, 400), SHAPES, SHAPES)
def test_it_is_scipys(trials, a, b):
    expected = scipy.stats.betabinom(trials, a, b).pmf(np.arange(trials + 1))
    assert beta_binomial(trials, a, b) == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_its_digits_last():
    got = beta_binomial(1_000_000, 91, 10)
    distribution = scipy.stats.betabinom(1_000_000, 91, 10)
    assert got.sum() == pytest.approx(1, rel=1e-12)
    assert (got * np.arange(1_000_001)).sum() == pytest.approx(distribution.mean(), rel=1e-9)
    assert got[900_000] == pytest.approx(distribution.pmf(900_000), rel=1e-6)


def test_equal_chances_of_everything():
    assert beta_binomial(4, 1, 1) == pytest.approx([0.2] * 5)


@given(st.integers(1, 300), SHAPES, SHAPES, st.sampled_from([0.025, 0.0025, 0.1]))
def test_beyond_the_range_is_rare_and_its_ends_are_not(trials, a, b, outside):
    low, high = central_range(trials, a, b, outside=outside)
    distribution = scipy.stats.betabinom(trials, a, b)
    rare = outside * (1 + 1e-9)
    assert distribution.cdf(low - 1) <= rare
    assert distribution.sf(high) <= rare
    assert distribution.cdf(low) > outside * (1 - 1e-9)
    assert distribution.sf(high - 1) > outside * (1 - 1e-9)


@pytest.mark.parametrize(("trials", "a", "b"), [(-1, 1, 1), (3, 0, 1), (3, 1, -2)])
def test_what_cannot_be(trials, a, b):
    with pytest.raises(ValueError, match=r"are impossible; give at least 0"):
        beta_binomial(trials, a, b)
