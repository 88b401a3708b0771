import pytest

from ensemble_uq_llm.report.tables import (
    Cell,
    comparison_cell,
    direction_mark,
    estimate_cell,
    interval_cell,
    show_difference,
    show_p,
    value_cell,
)
from ensemble_uq_llm.report.terminal import UNDEFINED


def test_an_estimate_has_its_interval_below():
    cell = estimate_cell({"value": 0.8765, "ci95": [0.85, 0.9]}, ".1%", strong=True)

    assert cell == Cell(value="87.6%", note="85.0% to 90.0%", strong=True)
    assert interval_cell({"value": 0.8765, "ci95": [-0.1, 0.9]}, ".2f").value == "−0.10 to 0.90"  # noqa: RUF001


@pytest.mark.parametrize("estimate", [None, {"value": None, "ci95": None}])
def test_what_is_undefined_is_a_dash(estimate):
    assert estimate_cell(estimate, ".3f") == Cell(value=UNDEFINED)
    assert interval_cell(estimate, ".3f") == Cell(value=UNDEFINED)
    assert comparison_cell(estimate, ".3f") == Cell(value=UNDEFINED)
    assert value_cell(None, ".3f") == Cell(value=UNDEFINED)


def test_a_value_without_an_interval_stands_alone():
    assert estimate_cell({"value": 0.5, "ci95": None}, ".1f") == Cell(value="0.5")


@pytest.mark.parametrize(
    ("difference", "form", "shown"),
    [
        (0.0123, ".3f", "+0.0123"),
        (-0.0123, ".3f", "−0.0123"),  # noqa: RUF001
        (-0.00001, ".3f", "+0.0000"),
        (0.0123, ".1%", "+1.23 points"),
        (-0.4, ".1%", "−40.00 points"),  # noqa: RUF001
    ],
)
def test_differences_have_a_sign_and_one_more_digit(difference, form, shown):
    assert show_difference(difference, form) == shown


def test_a_comparison_has_its_p_value_below():
    assert comparison_cell({"value": 0.1, "ci95": [0, 1], "p_value": 0.0321}, ".3f").note == "p = 0.032"
    assert comparison_cell({"value": 0.1, "ci95": None, "p_value": None}, ".3f").note == ""
    assert show_p(0.0002) == "p < 0.001"


def test_arrows_say_which_way_is_better():
    assert [direction_mark(way) for way in (True, False, None)] == ["\N{NO-BREAK SPACE}↑", "\N{NO-BREAK SPACE}↓", ""]
