"""Tables of the report: rows of cells, each a value with a smaller note such as its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_uq_llm.report.terminal import UNDEFINED, direction, show_interval, show_value

CHANCE = 0.05
"""The p-value above which a difference may well be chance."""

_MINUS = "\N{MINUS SIGN}"


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
    return Cell(value=_typeset(show_value(value, form)), strong=strong)


def interval_cell(estimate: Mapping[str, Any] | None, form: str) -> Cell:
    """Return an estimate's 95% interval; a dash where it is undefined."""
    return Cell(value=_typeset(show_interval(estimate or {}, form)))


def estimate_cell(estimate: Mapping[str, Any] | None, form: str, *, strong: bool = False) -> Cell:
    """Return an estimate with its 95% interval as the note; a dash where it was not measured."""
    if estimate is None or estimate["value"] is None:
        return Cell(value=UNDEFINED)
    interval = show_interval(estimate, form) if estimate.get("ci95") else ""
    return Cell(value=_typeset(show_value(estimate["value"], form)), note=_typeset(interval), strong=strong)


def comparison_cell(comparison: Mapping[str, Any] | None, form: str) -> Cell:
    """Return a difference with its sign, and its p-value as the note; shares in points of a percent."""
    if comparison is None or comparison["value"] is None:
        return Cell(value=UNDEFINED)
    note = show_p(comparison["p_value"]) if comparison.get("p_value") is not None else ""
    return Cell(value=show_difference(comparison["value"], form), note=note)


def show_difference(difference: float, form: str) -> str:
    """Return a difference with its sign, in one digit more than its parts; of shares in points of a percent."""
    digits = int(form[1:-1]) + 1
    if form.endswith("%"):
        return _typeset(f"{100 * difference:+z.{digits}f} points")
    return _typeset(f"{difference:+z.{digits}f}")


def direction_mark(higher_is_better: bool | None) -> str:
    """Return the arrow behind a title that says which way is better; empty where neither is."""
    arrow = direction(higher_is_better)
    return arrow and f"\N{NO-BREAK SPACE}{arrow}"


def show_p(p_value: float) -> str:
    """Return a p-value in three digits."""
    return f"p = {p_value:.3f}" if p_value >= 0.0005 else "p < 0.001"


def _typeset(number: str) -> str:
    return number.replace("-", _MINUS)
