"""Learning curves: every member's loss by step or epoch, and their mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from ensemble_uq_llm.report.figures.svg import (
    LEFT,
    RIGHT,
    Figure,
    Key,
    Scale,
    axis_x,
    axis_y,
    cross,
    decimals_for,
    dot,
    figure,
    line_key,
    path,
    round_step,
)

_TOP, _BOTTOM = 30, 230
_FEW = 12
"""Points up to which each is marked."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """The losses of one member."""

    name: str
    losses: Sequence[tuple[float, float]]
    """Steps or epochs, in their order, and the losses there."""
    diverged: bool = False


def learning_figure(curves: Sequence[LearningCurve], *, title: str, over: str) -> Figure:
    """Draw a thin line a member and a bold one for the mean of those that did not diverge.

    Args:
        curves: at least one, with at least one loss each.
        title: of the figure.
        over: what the level axis counts, such as `epoch`.
    """
    mean = _mean(curves)
    x, y = _scales(curves)
    several = len(curves) > 1
    style = "curve member" if several else "curve best"
    parts = [
        axis_y(y, decimals_for(y, percent=False), title="loss (nats)"),
        *(path(style, _points(each.losses, x, y), name=each.name) for each in curves),
        *([path("curve best", _points(mean, x, y))] if several and mean else []),
        *_marks(curves, mean, x, y),
        axis_x(x, _BOTTOM, ",.0f", title=over, ticks=_whole_ticks(x)),
    ]
    said = "; ".join(f"{each.name}: {_in_words(each, over)}" for each in curves)
    return figure(
        parts,
        title=title,
        height=_BOTTOM + 42,
        alternative=f"{title}. {said}.",
        legend=_legend(curves) if several else (),
    )


def _mean(curves: Sequence[LearningCurve]) -> list[tuple[float, float]]:
    """Return the mean loss wherever all members that did not diverge have one."""
    kept = [dict(each.losses) for each in curves if not each.diverged]
    common = [at for at in kept[0] if all(at in losses for losses in kept)] if kept else []
    return [(at, fmean(losses[at] for losses in kept)) for at in common]


def _scales(curves: Sequence[LearningCurve]) -> tuple[Scale, Scale]:
    places = [at for each in curves for at, _ in each.losses]
    losses = [loss for each in curves for _, loss in each.losses]
    first, last = min(places), max(places)
    room = 0.05 * (last - first) or 0.5
    step = round_step((max(losses) - min(losses)) / 4 or 0.05 * abs(max(losses)) or 0.05)
    low = step * (min(losses) // step)
    return Scale(first - room, last + room, LEFT, RIGHT), Scale(low, max(max(losses), low + step), _BOTTOM, _TOP)


def _points(losses: Sequence[tuple[float, float]], x: Scale, y: Scale) -> Iterator[tuple[float, float]]:
    return ((x(at), y(loss)) for at, loss in losses)


def _marks(
    curves: Sequence[LearningCurve], mean: Sequence[tuple[float, float]], x: Scale, y: Scale
) -> Iterator[Markup]:
    """Yield a dot on each of a few points, without which a single one would not be seen, and where members diverged."""
    if len(mean) <= _FEW:
        for at, loss in mean:
            yield dot("dot", x(at), y(loss), 3.5)
    for each in curves:
        if each.diverged:
            at, loss = each.losses[-1]
            yield cross("point wrong", x(at), y(loss), 4)


def _whole_ticks(x: Scale) -> list[float]:
    """Return ticks at whole numbers only: there is no half of a step."""
    return list(dict.fromkeys(float(round(tick)) for tick in x.ticks() if abs(tick - round(tick)) < 1e-6))


def _in_words(curve: LearningCurve, over: str) -> str:
    first, last = curve.losses[0], curve.losses[-1]
    ending = ", then diverged" if curve.diverged else ""
    return f"{first[1]:.3f} at {over} {first[0]:,.0f}, {last[1]:.3f} at {over} {last[0]:,.0f}{ending}"


def _legend(curves: Sequence[LearningCurve]) -> list[Key]:
    keys = [line_key("curve best", "Mean of the members"), line_key("curve member", "Each member")]
    if any(each.diverged for each in curves):
        keys.append(Key(symbol=cross("point wrong", 14, 4, 3), name="Where a member diverged"))
    return keys
