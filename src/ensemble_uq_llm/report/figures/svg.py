"""Inline SVG in a few shapes: scales, axes, lines, bars, bands and letters, coloured by the page's style sheet.

Every figure is 360 units wide, so that its letters stay readable on a phone, and carries a text alternative.
`Markup.format` escapes whatever is put into it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Protocol, TypeAlias

from markupsafe import Markup

WIDTH, LEFT, RIGHT = 360, 44, 346
"""The drawing's width, and where its x axis begins and ends."""

_LONGEST_NAME = 29
_TICKS = 6


@dataclass(frozen=True, kw_only=True)
class Key:
    """One line of a legend: a symbol, drawn in a box of 28 by 8 units, and what it stands for."""

    symbol: Markup
    name: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One drawing and what it says in words."""

    title: str
    svg: Markup
    alternative: str
    legend: Sequence[Key] = ()


@dataclass(frozen=True)
class Scale:
    """A linear map from values to coordinates; values beyond its ends are drawn at them."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the multiples of a round step that lie on the scale, six at most."""
        step = round_step((self.high - self.low) / (_TICKS - 1))
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [step * i for i in range(first, last + 1)]


class AnyScale(Protocol):
    """What axes and shapes need of a scale, linear or not."""

    @property
    def start(self) -> float:
        """The coordinate of its low end."""

    @property
    def end(self) -> float:
        """The coordinate of its high end."""

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""

    def ticks(self) -> list[float]:
        """Return the values that are labelled."""


Form: TypeAlias = str | Callable[[float], str]
"""How ticks are labelled: a format specification, or a function."""


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is not below `least`, which is positive."""
    power = 10.0 ** floor(log10(least))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - 1e-9))


def figure(
    parts: Iterable[Markup], *, title: str, height: float, alternative: str, legend: Sequence[Key] = ()
) -> Figure:
    """Return shapes as one drawing."""
    frame = Markup('<svg viewBox="0 0 {} {:g}" role="img" aria-label="{}"><title>{}</title>{}</svg>')
    svg = frame.format(WIDTH, height, alternative, title, Markup("").join(parts))
    return Figure(title=title, svg=svg, alternative=alternative, legend=legend)


def line_key(style: str, name: str) -> Key:
    """Return the line of a legend for a line of that style."""
    return Key(symbol=line(style, 1, 4, 27, 4), name=name)


def axis_x(scale: AnyScale, y: float, form: Form, *, title: str, ticks: Sequence[float] | None = None) -> Markup:
    """Return a horizontal axis at `y` with its title; its ticks are those of the scale unless given."""
    parts = [line("rule", scale.start, y, scale.end, y)]
    for value in scale.ticks() if ticks is None else ticks:
        parts.append(line("rule", scale(value), y, scale(value), y + 4))
        parts.append(text(scale(value), y + 17, _label(value, form), "small middle"))
    parts.append(text((scale.start + scale.end) / 2, y + 35, title, "middle"))
    return Markup("").join(parts)


def axis_y(scale: AnyScale, form: Form, *, title: str) -> Markup:
    """Return the grid lines and labels of the vertical axis, with its title above the highest."""
    parts = [text(LEFT, scale.end - 10, title, "small")]
    for value in scale.ticks():
        parts.append(line("grid", LEFT, scale(value), RIGHT, scale(value)))
        parts.append(text(LEFT - 6, scale(value) + 4, _label(value, form), "small end"))
    return Markup("").join(parts)


def decimals_for(scale: Scale, *, percent: bool) -> str:
    """Return the format that tells a scale's ticks from each other, in percent or as plain numbers."""
    step = round_step((scale.high - scale.low) / (_TICKS - 1)) * (100 if percent else 1)
    return f".{max(0, -floor(log10(step) + 1e-9))}{'%' if percent else 'f'}"


def line(style: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """Return a straight line."""
    shape = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return shape.format(style, x1, y1, x2, y2)


def path(style: str, points: Iterable[tuple[float, float]], *, name: str = "") -> Markup:
    """Return a line through points; a name is shown where it is pointed at."""
    if name:
        named = Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>')
        return named.format(style, _corners(points), name)
    return Markup('<polyline class="{}" points="{}"/>').format(style, _corners(points))


def area(style: str, points: Iterable[tuple[float, float]]) -> Markup:
    """Return the filled polygon of its corners."""
    return Markup('<polygon class="{}" points="{}"/>').format(style, _corners(points))


def bar(style: str, left: float, top: float, right: float, bottom: float) -> Markup:
    """Return a filled rectangle."""
    shape = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return shape.format(style, left, top, max(0.0, right - left), max(0.0, bottom - top))


def dot(style: str, x: float, y: float, radius: float) -> Markup:
    """Return a filled circle."""
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>').format(style, x, y, radius)


def cross(style: str, x: float, y: float, radius: float) -> Markup:
    """Return two crossing lines."""
    shape = Markup('<path class="{}" d="M{:.1f} {:.1f}l{r:g} {r:g}m0 -{r:g}l-{r:g} {r:g}"/>')
    return shape.format(style, x - radius, y - radius, r=2 * radius)


def text(x: float, y: float, words: str, style: str) -> Markup:
    """Return one line of text; its style may hold `middle` or `end` for where `x` lies."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, x, y, words)


def shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name in the length that fits over a figure."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _label(value: float, form: Form) -> str:
    return format(value, form) if isinstance(form, str) else form(value)


def _corners(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
