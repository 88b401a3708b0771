import pytest

from ensemble_uq_llm.report.formats import UNDEFINED
from ensemble_uq_llm.report.tables import (
    Cell,
    comparison_cell,
    direction_mark,
    estimate_cell,
    interval_cell,
    value_cell,
)
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate


def test_an_estimate_has_its_interval_below():
    cell = estimate_cell(Estimate(value=0.8765, ci95=(0.85, 0.9)), ".1%", strong=True)

    assert cell == Cell(value="87.6%", note="85.0% to 90.0%", strong=True)
    assert interval_cell((-0.1, 0.9), ".2f").value == "−0.10 to 0.90"  # noqa: RUF001


@pytest.mark.parametrize("estimate", [None, Estimate(value=None, ci95=None)])
def test_what_is_undefined_is_a_dash(estimate):
    assert estimate_cell(estimate, ".3f") == Cell(value=UNDEFINED)
    assert interval_cell(None, ".3f") == Cell(value=UNDEFINED)
    assert value_cell(None, ".3f") == Cell(value=UNDEFINED)


@pytest.mark.parametrize("comparison", [None, Comparison(value=None, ci95=None, p_value=None)])
def test_an_undefined_difference_is_a_dash(comparison):
    assert comparison_cell(comparison, ".3f") == Cell(value=UNDEFINED)


def test_a_value_without_an_interval_stands_alone():
    assert estimate_cell(Estimate(value=0.5, ci95=None), ".1f") == Cell(value="0.5")


def test_a_comparison_has_its_p_value_below():
    assert comparison_cell(Comparison(value=0.1, ci95=(0, 1), p_value=0.0321), ".3f").note == "p = 0.032"
    assert comparison_cell(Comparison(value=0.1, ci95=None, p_value=None), ".3f").note == ""


def test_arrows_say_which_way_is_better():
    assert [direction_mark(way) for way in (True, False, None)] == ["\N{NO-BREAK SPACE}↑", "\N{NO-BREAK SPACE}↓", ""]
