"""Risk-coverage curves: how many answers are wrong among those that are given, if the least certain are not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

from ensemble_uq_llm.report.figures.svg import (
    LEFT,
    RIGHT,
    Figure,
    Key,
    Scale,
    area,
    axis_x,
    axis_y,
    bar,
    decimals_for,
    figure,
    line_key,
    path,
    round_step,
)

_TOP, _BOTTOM = 30, 270
_SETTLED = 0.15
"""The coverage from which on a curve must lie within the figure; before it, few examples decide."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The curve of a score, or of several that rank the examples alike."""

    name: str
    style: str
    """The style sheet's class, which gives its colour and dashes."""
    coverage: Sequence[float]
    risk: Sequence[float]
    low: Sequence[float] = ()
    """The lower ends of the risks' intervals; empty without draws."""
    high: Sequence[float] = ()


def risk_coverage_figure(curves: Sequence[Curve]) -> Figure:
    """Draw the curves, the first with its band, between those of a perfect ranking and of a ranking by chance.

    A perfect ranking answers wrongly only after all right answers are given: its risk at coverage c is
    max(0, 1 - (1 - e) / c) where e is the share of wrong answers (Geifman et al. 2019, arXiv:1805.08206).
    """
    wrong = curves[0].risk[-1]
    first = curves[0]
    settled = [r for curve in curves for c, r in zip(curve.coverage, curve.risk, strict=True) if c >= _SETTLED]
    settled += [r for c, r in zip(first.coverage, first.high, strict=False) if c >= _SETTLED]
    highest = max([*settled, wrong])
    step = round_step(highest / 5 or 0.002)
    x, y = Scale(0.0, 1.0, LEFT, RIGHT), Scale(0.0, min(1.0, step * (floor(highest / step) + 1)), _BOTTOM, _TOP)
    perfect = [(x(c), y(max(0.0, 1 - (1 - wrong) / c))) for c in _perfect_coverage(wrong)]
    parts = [
        axis_y(y, decimals_for(y, percent=True), title="share of given answers that are wrong"),
        *([area("curve-band", _band(first, x, y))] if first.high else []),
        path("curve perfect", perfect),
        path("curve chance", [(x(0.0), y(wrong)), (x(1.0), y(wrong))]),
        *(path(f"curve {curve.style}", _points(curve, x, y)) for curve in reversed(curves)),
        axis_x(x, _BOTTOM, ".0%", title="share of questions answered"),
    ]
    said = "; ".join(f"{curve.name}: {_in_words(curve)}" for curve in curves)
    alternative = f"Risk-coverage curves. {said}."
    title = "Mistakes by questions answered"
    return figure(parts, title=title, height=_BOTTOM + 42, alternative=alternative, legend=_legend(curves))


def _legend(curves: Sequence[Curve]) -> list[Key]:
    keys = [line_key(f"curve {curve.style}", curve.name) for curve in curves]
    if curves[0].high:
        keys.insert(1, Key(symbol=bar("curve-band", 1, 0, 27, 8), name="Its 95% interval, share by share"))
    return [
        *keys,
        line_key("curve chance", "Leaving out by chance"),
        line_key("curve perfect", "A score that knows every mistake"),
    ]


def _band(curve: Curve, x: Scale, y: Scale) -> list[tuple[float, float]]:
    high = [(x(c), y(r)) for c, r in zip(curve.coverage, curve.high, strict=True)]
    return [*high, *((x(c), y(r)) for c, r in zip(reversed(curve.coverage), reversed(curve.low), strict=True))]


def _perfect_coverage(wrong: float) -> list[float]:
    steps = 40
    return [1 - wrong + wrong * i / steps if wrong < 1 else max(i, 1) / steps for i in range(steps + 1)]


def _points(curve: Curve, x: Scale, y: Scale) -> Iterator[tuple[float, float]]:
    return ((x(c), y(r)) for c, r in zip(curve.coverage, curve.risk, strict=True))


def _in_words(curve: Curve) -> str:
    picked = sorted({min(range(len(curve.risk)), key=lambda i: abs(curve.coverage[i] - at)) for at in (0.5, 0.8, 1.0)})
    return ", ".join(
        f"{curve.risk[i]:.1%} wrong{_interval(curve, i)} at {curve.coverage[i]:.0%} answered" for i in picked
    )


def _interval(curve: Curve, i: int) -> str:
    return f" (95% interval {curve.low[i]:.1%} to {curve.high[i]:.1%})" if curve.high else ""
