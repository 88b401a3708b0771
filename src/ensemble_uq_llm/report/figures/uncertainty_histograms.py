"""Histograms of an uncertainty: one row a group of examples, right, wrong, or from another set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ensemble_uq_llm.report.figures.log_scale import few_digits, form_of, power_of_ten, scale_between
from ensemble_uq_llm.report.figures.svg import (
    RIGHT,
    AnyScale,
    Figure,
    Scale,
    axis_x,
    bar,
    figure,
    line,
    shortened,
    text,
)
from ensemble_uq_llm.utils.text import counted

_START = 14
_ROW, _TALLEST = 62, 34
_LETTERS = 54
"""How many fit over a row."""
_BELOW, _APART = 22, 46
"""How wide the bar before a logarithmic axis is, and how far before it that bar begins."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One row: a group of examples."""

    name: str
    style: str
    """The style sheet's class: `correct`, `wrong`, `unlabelled` or `shifted`."""
    n: int
    mean: float
    median: float
    shares: Sequence[float]
    """The share of its examples in each of the bins along the axis."""
    below: float = 0.0
    """The share before a logarithmic axis."""


def histogram_figure(
    groups: Sequence[Group], *, measure: str, upper: float, lower: float = 0.0, unit: str = "nats"
) -> Figure:
    """Draw one histogram a group on a common axis, each to its own height.

    Args:
        groups: the rows.
        measure: what is measured.
        upper: the end of the axis.
        lower: where a logarithmic axis begins; 0 for a linear one. On the first a group's median is marked, on the
            second its mean.
        unit: of the measure; empty where it has none.
    """
    start = _START + _APART if any(group.below for group in groups) else _START
    x = scale_between(lower, upper, start, RIGHT)
    bottom = len(groups) * _ROW
    title = f"{measure} ({unit})" if unit else measure
    parts = [shape for i, group in enumerate(groups) for shape in _row(group, x, (i + 1) * _ROW, lower=lower)]
    parts.append(axis_x(x, bottom, form_of(x), title=title))
    if start > _START:
        parts.append(text(_START + _BELOW / 2, bottom + 17, f"<{power_of_ten(lower)}", "small middle"))
    said = "; ".join(f"{each.name}: {_in_words(each, _marked(lower), lower)}" for each in groups)
    scale = ", on a logarithmic axis" if lower else ""
    alternative = f"Histograms of {measure}{scale}. {said}."
    return figure(parts, title=measure.capitalize(), height=bottom + 42, alternative=alternative)


def _marked(lower: float) -> str:
    return "median" if lower else "mean"


def _marked_value(group: Group, marked: str) -> float:
    return group.median if marked == "median" else group.mean


def _value(group: Group, marked: str) -> str:
    return few_digits(group.median) if marked == "median" else format(group.mean, ".3f")


def _in_words(group: Group, marked: str, lower: float) -> str:
    below = f", {group.below:.1%} below {power_of_ten(lower)}" if group.below else ""
    return f"{counted(group.n, 'example')}, {marked} {_value(group, marked)}, peak {max(group.shares):.0%}{below}"


def _row(group: Group, x: AnyScale, base: float, *, lower: float) -> Iterator[Markup]:
    marked = _marked(lower)
    y = Scale(0.0, max(*group.shares, group.below), base, base - _TALLEST)
    width = (x.end - x.start) / len(group.shares)
    for h, share in enumerate(group.shares):
        if share > 0:
            left = x.start + h * width
            yield bar(f"bar {group.style}", left + 0.5, y(share), left + width - 0.5, base)
    if x.start > _START:
        yield bar(f"bar {group.style}", _START, y(group.below), _START + _BELOW, base)
        yield line("rule", _START, base, _START + _BELOW, base)
    yield line("rule", x.start, base, x.end, base)
    at = _START + _BELOW / 2 if marked == "median" and group.median < lower else x(_marked_value(group, marked))
    yield line("mean", at, base - _TALLEST - 2, at, base + 3)
    words = f"{counted(group.n, 'example')}, {marked} {_value(group, marked)}"
    yield text(_START, base - _TALLEST - 8, shortened(group.name, _LETTERS - len(words)), "small")
    yield text(x.end, base - _TALLEST - 8, words, "small end")
