from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.report.figures.log_scale import LogScale, few_digits, form_of, power_of_ten, scale_between
from ensemble_uq_llm.report.figures.svg import Scale


def test_factors_are_distances_and_what_lies_beyond_is_drawn_at_the_ends():
    scale = LogScale(0.001, 10.0, 100.0, 200.0)

    assert [scale(value) for value in (0.001, 0.1, 10.0)] == pytest.approx([100.0, 150.0, 200.0])
    assert [scale(value) for value in (0.0, 1e-9, 99.0)] == pytest.approx([100.0, 100.0, 200.0])


@given(st.integers(-9, 1), st.integers(0, 8), st.sampled_from([1, 2, 5]))
def test_ticks_lie_on_the_scale_and_differ_in_their_labels(power, decades, digit):
    low, high = 10.0**power, digit * 10.0 ** (power + decades)
    if high <= low:
        return
    scale = LogScale(low, high, 0.0, 100.0)
    form, ticks = form_of(scale), scale.ticks()

    assert 2 <= len(ticks) <= 10
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)
    assert all(b / a > 1.9 for a, b in pairwise(ticks))
    labels = [format(tick, form) if isinstance(form, str) else form(tick) for tick in ticks]
    assert len(set(labels)) == len(labels)


def test_an_axis_that_begins_at_0_is_linear():
    assert scale_between(0.0, 1.0, 10.0, 20.0) == Scale(0.0, 1.0, 10.0, 20.0)
    assert scale_between(0.1, 1.0, 10.0, 20.0) == LogScale(0.1, 1.0, 10.0, 20.0)
    assert form_of(Scale(0.0, 1.0, 10.0, 20.0)) == ".1f"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.69, "0.69"), (0.00042, "0.00042"), (4.93e-5, "4.9·10⁻⁵"), (1e-12, "1.0·10⁻¹²")],
)
def test_numbers_in_two_digits(value, words):
    assert few_digits(value) == words


def test_powers_of_ten():
    assert [power_of_ten(value) for value in (1e-10, 0.1, 1.0, 10.0, 100.0)] == ["10⁻¹⁰", "10⁻¹", "1", "10", "10²"]
