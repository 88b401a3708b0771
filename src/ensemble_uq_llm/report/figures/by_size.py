"""The ensemble-size curve: what a metric is with fewer members."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ensemble_uq_llm.report.figures.svg import (
    LEFT,
    RIGHT,
    Figure,
    Scale,
    area,
    axis_x,
    axis_y,
    decimals_for,
    dot,
    figure,
    line,
    path,
    text,
)

_TOP, _BOTTOM = 30, 200
_MOST_LABELS = 12


@dataclass(frozen=True, kw_only=True)
class MetricBySize:
    """A metric over the number of members, pooled from many subsets of each size."""

    title: str
    form: str
    """The format of its values; one of `%` is drawn in percent."""
    sizes: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    """The 5th percentile over subsets."""
    high: Sequence[float]
    """The 95th percentile over subsets."""


def size_curve_figure(curve: MetricBySize, *, mark: tuple[int, str] | None = None) -> Figure:
    """Draw the mean over subsets with the range that holds 90% of them.

    Args:
        curve: what is drawn.
        mark: a size to mark, and the words beside it.
    """
    x = Scale(curve.sizes[0] - 0.3, curve.sizes[-1] + 0.3, LEFT, RIGHT)
    y = _padded(min(curve.low), max(curve.high))
    high = [(x(k), y(value)) for k, value in zip(curve.sizes, curve.high, strict=True)]
    low = [(x(k), y(value)) for k, value in zip(curve.sizes, curve.low, strict=True)]
    mean = [(x(k), y(value)) for k, value in zip(curve.sizes, curve.mean, strict=True)]
    parts = [
        axis_y(y, decimals_for(y, percent=curve.form.endswith("%")), title=curve.title),
        area("spread", [*high, *reversed(low)]),
        *(_mark(*mark, x) if mark else []),
        path("curve best", mean),
        *(dot("dot", *point, 3) for point in mean),
        axis_x(x, _BOTTOM, "d", title="members", ticks=_labelled(curve.sizes)),
    ]
    first, last = (format(curve.mean[i], curve.form) for i in (0, -1))
    return figure(
        parts,
        title=f"{curve.title} by number of members",
        height=_BOTTOM + 42,
        alternative=f"{curve.title} by number of members: {first} with {curve.sizes[0]} on average, "
        f"{last} with {curve.sizes[-1]}.",
    )


def _mark(size: int, words: str, x: Scale) -> list[Markup]:
    """Return an upright line with its words where a falling curve leaves room: low on the left, high on the right."""
    at = x(size)
    on_the_left = at < (LEFT + RIGHT) / 2
    words_at = (at + 4, _BOTTOM - 6, words, "small") if on_the_left else (at - 4, _TOP + 10, words, "small end")
    return [line("mark", at, _TOP, at, _BOTTOM), text(*words_at)]


def _padded(low: float, high: float) -> Scale:
    room = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
    return Scale(low - room, high + room, _BOTTOM, _TOP)


def _labelled(sizes: Sequence[int]) -> Sequence[int]:
    if len(sizes) <= _MOST_LABELS:
        return sizes
    return [size for size in sizes if size % 5 == 0 or size in (sizes[0], sizes[-1])]
