"""Tables of the page: rows of cells, each a value with a smaller note such as its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble_uq_llm.report.formats import (
    UNDEFINED,
    difference_in_words,
    direction,
    show_difference,
    show_interval,
    show_value,
    typeset,
)
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate, Interval
from ensemble_uq_llm.statistics.significance import p_in_words


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one place of a table."""

    value: str
    note: str = ""
    """Shown small, below the value."""
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: its title and its cells from left to right."""

    title: str
    cells: Sequence[Cell]
    note: str = ""
    """Shown small, below the title."""
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: the first column holds the titles of its rows."""

    label: str
    """What the table is, for those who hear it."""
    columns: Sequence[str]
    rows: Sequence[Row]


def value_cell(value: float | None, form: str, *, strong: bool = False) -> Cell:
    """Return a number; a dash where it is undefined."""
    return Cell(value=typeset(show_value(value, form)), strong=strong)


def interval_cell(interval: Interval | None, form: str) -> Cell:
    """Return a 95% interval; a dash where it is undefined."""
    return Cell(value=typeset(show_interval(interval, form)))


def estimate_cell(estimate: Estimate | None, form: str, *, strong: bool = False) -> Cell:
    """Return an estimate with its 95% interval as the note; a dash where it was not measured."""
    if estimate is None or estimate.value is None:
        return Cell(value=UNDEFINED)
    interval = typeset(show_interval(estimate.ci95, form)) if estimate.ci95 else ""
    return Cell(value=typeset(show_value(estimate.value, form)), note=interval, strong=strong)


def comparison_cell(comparison: Comparison | None, form: str) -> Cell:
    """Return a difference with its sign, and its p-value as the note; shares in points of a percent."""
    if comparison is None or comparison.value is None:
        return Cell(value=UNDEFINED)
    note = "" if comparison.p_value is None else p_in_words(comparison.p_value, at_floor=comparison.at_floor)
    return Cell(value=show_difference(comparison.value, form), note=note)


def difference_cell(comparison: Comparison, form: str) -> Cell:
    """Return a difference with its sign, its 95% interval and its p-value as the note."""
    if comparison.value is None:
        return Cell(value=UNDEFINED)
    _, *evidence = difference_in_words(comparison, form).split(", ")
    return Cell(value=show_difference(comparison.value, form), note=", ".join(evidence).removeprefix("95% interval "))


def direction_mark(higher_is_better: bool | None) -> str:
    """Return the arrow behind a title that says which way is better; empty where neither is."""
    arrow = direction(higher_is_better)
    return arrow and f"\N{NO-BREAK SPACE}{arrow}"
