import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ensemble_uq_llm.statistics.significance import holm, mcnemar, p_in_words, sign_flip_limit

P_VALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.02, 0.5]), max_size=12)


def stepped_down(p_values):
    """Holm's procedure as he wrote it: the adjusted p-value is the lowest level at which it still rejects."""
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i])
    return [min(1, max(p_values[i] * (count - rank) for rank, i in enumerate(order[: order.index(j) + 1])))
            for j in range(count)]  # fmt: skip


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_scipys_binomial_test(only_a, only_b):
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0

    assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_sum_of_binomial_terms(only_a, only_b):
    tosses = only_a + only_b
    tail = sum(Fraction(math.comb(tosses, k), 2**tosses) for k in range(min(only_a, only_b) + 1))

    assert mcnemar(only_a, only_b) == pytest.approx(float(min(1, 2 * tail)), rel=1e-12)


def test_mcnemar_of_many_examples():
    assert mcnemar(50_300, 49_700) == pytest.approx(binomtest(50_300, 100_000).pvalue, rel=1e-7)
    assert mcnemar(0, 1000) == pytest.approx(2.0**-999, rel=1e-9)
    assert mcnemar(0, 100_000) == 0.0


@given(P_VALUES)
def test_holm_is_its_definition(p_values):
    assert holm(p_values) == pytest.approx(stepped_down(p_values), rel=1e-15, abs=0)


@given(P_VALUES)
def test_holm_lies_between_the_plain_p_value_and_bonferronis(p_values):
    for plain, adjusted in zip(p_values, holm(p_values), strict=True):
        assert plain <= adjusted <= min(1.0, plain * len(p_values))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize("examples", range(1, 11))
def test_the_sign_flip_limit_is_the_smallest_p_value_of_all_flips(examples):
    """The mean of equal differences, against that of every way to flip their signs."""
    sums = [sum(signs) for signs in product((-1, 1), repeat=examples)]
    as_far = sum(abs(each) >= examples for each in sums)
    assert sign_flip_limit(examples) == as_far / len(sums)


def test_where_nothing_differs_the_limit_is_1():
    assert sign_flip_limit(0) == 1.0


@pytest.mark.parametrize(
    ("p_value", "at_floor", "words"),
    [
        (0.0321, False, "p = 0.032"),
        (0.0005, False, "p = 0.001"),
        (0.0002, False, "p < 0.001"),
        (1.0, False, "p = 1.000"),
        (2 / 1001, True, "p < 0.002"),
        (2 / 1001, False, "p = 0.002"),
        (1 / 1001, True, "p < 0.001"),
        (2 / 301, True, "p < 0.0067"),
        (2 / 201, True, "p < 0.01"),
        (2 / 100, True, "p < 0.02"),
        (2 / 32, True, "p < 0.063"),
        (0.125, True, "p < 0.13"),
        (2e-6, True, "p < 0.001"),
        (1.0, True, "p = 1.000"),
    ],
)
def test_p_in_words(p_value, at_floor, words):
    assert p_in_words(p_value, at_floor=at_floor) == words


@given(st.floats(1e-6, 0.999))
def test_a_bound_in_words_is_never_below_the_value(p_value):
    words = p_in_words(p_value, at_floor=True)
    assert float(words.removeprefix("p < ")) >= p_value * (1 - 1e-9)
