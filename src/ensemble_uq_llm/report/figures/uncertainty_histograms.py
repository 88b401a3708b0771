"""Histograms of an uncertainty: one row a group of examples, right, wrong, or from another set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ensemble_uq_llm.report.figures.svg import (
    RIGHT,
    Figure,
    Scale,
    axis_x,
    bar,
    decimals_for,
    figure,
    line,
    shortened,
    text,
)

_START = 14
_ROW, _TALLEST = 62, 34


@dataclass(frozen=True, kw_only=True)
class Group:
    """One row: a group of examples."""

    name: str
    style: str
    """The style sheet's class: `correct`, `wrong`, `unlabelled` or `shifted`."""
    n: int
    mean: float
    shares: Sequence[float]
    """The share of its examples in each of the bins, from 0 to the axis's upper end."""


def histogram_figure(groups: Sequence[Group], *, measure: str, upper: float) -> Figure:
    """Draw one histogram a group on a common axis from 0 to `upper`, each to its own height."""
    x = Scale(0.0, upper, _START, RIGHT)
    parts = [shape for i, group in enumerate(groups) for shape in _row(group, x, (i + 1) * _ROW)]
    bottom = len(groups) * _ROW
    parts.append(axis_x(x, bottom, decimals_for(x, percent=False), title=f"{measure} (nats)"))
    said = "; ".join(
        f"{each.name}: {each.n:,} examples, mean {each.mean:.3f}, peak {max(each.shares):.0%}" for each in groups
    )
    alternative = f"Histograms of {measure}. {said}."
    return figure(parts, title=measure.capitalize(), height=bottom + 42, alternative=alternative)


def _row(group: Group, x: Scale, base: float) -> Iterator[Markup]:
    y = Scale(0.0, max(group.shares), base, base - _TALLEST)
    width = (x.end - x.start) / len(group.shares)
    for h, share in enumerate(group.shares):
        if share > 0:
            left = x.start + h * width
            yield bar(f"bar {group.style}", left + 0.5, y(share), left + width - 0.5, base)
    yield line("rule", x.start, base, x.end, base)
    yield line("mean", x(group.mean), base - _TALLEST - 2, x(group.mean), base + 3)
    yield text(x.start, base - _TALLEST - 8, shortened(group.name), "small")
    yield text(x.end, base - _TALLEST - 8, f"{group.n:,} examples, mean {group.mean:.3f}", "small end")
