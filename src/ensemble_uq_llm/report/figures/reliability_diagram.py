"""The reliability diagram: is an answer given with 80% confidence right 80% of the time?"""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from ensemble_uq_llm.evaluation.records import ReliabilityBin
from ensemble_uq_llm.report.figures.svg import (
    LEFT,
    RIGHT,
    Figure,
    Scale,
    area,
    axis_x,
    axis_y,
    bar,
    dot,
    figure,
    line,
    text,
)
from ensemble_uq_llm.statistics.intervals import Interval

_TOP, _BOTTOM = 30, 270
_COUNTS_TOP, _COUNTS_BOTTOM = 306, 356
_HEIGHT = _COUNTS_BOTTOM + 42


def reliability_figure(
    bins: Sequence[ReliabilityBin], *, title: str = "Accuracy by confidence", low: float | None = None
) -> Figure:
    """Draw accuracy against confidence in the filled bins, over how many examples each holds.

    The whisker of a dot is its Wilson interval; the shaded box of a bin is where the dot of a perfectly
    calibrated model of the same confidences falls 95% of the time.

    Args:
        bins: the filled ones, at least one.
        title: of the figure.
        low: where the axis of confidence begins, to be compared with other diagrams; at the first bin if not given.
    """
    x = Scale(lowest(bins) if low is None else low, 1.0, LEFT, RIGHT)
    y = Scale(0.0, 1.0, _BOTTOM, _TOP)
    height = Scale(0.0, max(each.n for each in bins), _COUNTS_BOTTOM, _COUNTS_TOP)
    parts = [
        axis_y(y, ".0%", title="share of answers that are right"),
        *(_band(each, each.band95, x, y) for each in bins if each.band95),
        line("diagonal", x(x.low), y(x.low), x(1.0), y(1.0)),
        *_dots(bins, x, y),
        text(LEFT, _COUNTS_TOP - 8, "examples", "small"),
        *(_count(each, x, height) for each in bins),
        axis_x(x, _COUNTS_BOTTOM, ".0%", title="confidence"),
    ]
    said = "; ".join(
        f"{each.n:,} examples at confidence {each.confidence:.1%}, {each.accuracy:.1%} right" for each in bins
    )
    return figure(parts, title=title, height=_HEIGHT, alternative=f"Reliability diagram. {said}.")


def lowest(bins: Sequence[ReliabilityBin]) -> float:
    """Return where the first bin begins."""
    return min(each.low for each in bins)


def _band(each: ReliabilityBin, band: Interval, x: Scale, y: Scale) -> Markup:
    (low, high), left, right = band, x(each.low), x(each.high)
    return area("band", [(left, y(low)), (right, y(low)), (right, y(high)), (left, y(high))])


def _dots(bins: Sequence[ReliabilityBin], x: Scale, y: Scale) -> Iterator[Markup]:
    for each in bins:
        at, (low, high) = x(each.confidence), each.ci95
        yield line("whisker", at, y(low), at, y(high))
        yield dot("dot", at, y(each.accuracy), 4)


def _count(each: ReliabilityBin, x: Scale, height: Scale) -> Markup:
    return bar("bar correct", x(each.low) + 1, height(each.n), x(each.high) - 1, _COUNTS_BOTTOM)
