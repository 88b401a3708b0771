"""The report's figures: inline SVG without scripts, coloured by the page's style sheet.

Every figure is 360 units wide, so that its letters stay readable on a phone, and carries a text alternative.
`Markup.format` escapes whatever is put into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ensemble_uq_llm.inference.metrics import ECE_BINS, confidence_bin

WIDTH, LEFT, RIGHT = 360, 40, 344
HISTOGRAM_BINS = 28
LONGEST_NAME = 36


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One drawing and what it says in words."""

    svg: Markup
    alternative: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """One row of a histogram: a group of examples and their values."""

    name: str
    style: str
    """The style sheet's class: `correct`, `wrong`, `unlabelled` or `shifted`."""
    values_N: NDArray[np.float64]


def reliability_figure(confidence_N: NDArray[np.float64], correct_N: NDArray[np.bool_], *, classes: int) -> Figure:
    """Draw accuracy against confidence in the bins of the ECE, with 95% Wilson intervals, over a histogram."""
    bin_N = confidence_bin(confidence_N)
    count_H = np.bincount(bin_N, minlength=ECE_BINS)
    filled = np.flatnonzero(count_H).tolist()
    confidence_H = np.bincount(bin_N, weights=confidence_N, minlength=ECE_BINS) / np.maximum(count_H, 1)
    accuracy_H = np.bincount(bin_N, weights=correct_N, minlength=ECE_BINS) / np.maximum(count_H, 1)
    first = int(ECE_BINS / classes) / ECE_BINS  # no confidence lies below 1/C
    x, y = _Scale(first, 1.0, LEFT, RIGHT), _Scale(0.0, 1.0, 250, 14)
    height = _Scale(0.0, float(count_H.max()), 350, 290)

    parts = [_axis_y(y), _line("diagonal", x(first), y(first), x(1), y(1))]
    for h in filled:
        low, high = wilson_interval(accuracy_H[h] * count_H[h], int(count_H[h]))
        at = x(confidence_H[h])
        parts.append(_line("whisker", at, y(low), at, y(high)))
        parts.append(Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(at, y(accuracy_H[h])))
        left, right = x(max(h / ECE_BINS, first)), x((h + 1) / ECE_BINS)
        parts.append(_bar("correct", left + 1, height(count_H[h]), right - 1, 350))
    parts += [_text(LEFT, 284, "examples by confidence", "small"), _axis_x(x, 350, "{:.0%}")]
    parts.append(_text((LEFT + RIGHT) / 2, 386, "confidence", "middle"))
    parts.append(_text(LEFT + 6, 24, "accuracy", "small"))
    said = "; ".join(
        f"{count_H[h]} examples at confidence {confidence_H[h]:.1%}, {accuracy_H[h]:.1%} correct" for h in filled
    )
    return _figure(parts, 394, f"Reliability diagram. {said}.")


def histogram_figure(groups: Sequence[Group], *, quantity: str, upper: float) -> Figure:
    """Draw one histogram a group on a common axis from 0 to `upper`, each to its own height."""
    x, row = _Scale(0.0, upper, 16, RIGHT), 70
    parts, said = [], []
    for i, group in enumerate(groups):
        base = (i + 1) * row
        share_H = np.histogram(group.values_N, bins=HISTOGRAM_BINS, range=(0.0, upper))[0] / len(group.values_N)
        y = _Scale(0.0, float(share_H.max()), base, base - 40)
        for h in np.flatnonzero(share_H).tolist():
            left, right = x(upper * h / HISTOGRAM_BINS), x(upper * (h + 1) / HISTOGRAM_BINS)
            parts.append(_bar(group.style, left + 0.5, y(share_H[h]), right - 0.5, base))
        mean = float(group.values_N.mean())
        parts.append(_line("rule", 16, base, RIGHT, base))
        parts.append(_line("mean", x(mean), base - 42, x(mean), base + 3))
        parts.append(_text(16, base - 48, _shortened(group.name), "small"))
        parts.append(_text(RIGHT, base - 48, f"{len(group.values_N):,} examples, mean {mean:.3f}", "small end"))
        said.append(f"{group.name}: {len(group.values_N)} examples, mean {mean:.3f}, peak {share_H.max():.0%}")
    bottom = len(groups) * row
    parts += [_axis_x(x, bottom, "{:.2f}"), _text((16 + RIGHT) / 2, bottom + 36, f"{quantity} (nats)", "middle")]
    return _figure(parts, bottom + 44, f"Histograms of {quantity}. {'; '.join(said)}.")


def histogram_limit(groups: Sequence[Group], *, classes: int) -> float:
    """Return a round upper end for an axis of entropies: at most ln C, and no longer than the values need."""
    highest, possible = max(float(group.values_N.max()) for group in groups), float(np.log(classes))
    fitting = [end for end in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0) if highest <= end < possible]
    return fitting[0] if fitting and highest > 0 else possible


def wilson_interval(correct: float, examples: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927); it stays within 0 and 1 and works for a single example."""
    z = 1.96
    share, spread = correct / examples, z**2 / examples
    middle = (share + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * float(np.sqrt(share * (1 - share) / examples + spread / (4 * examples)))
    return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True)
class _Scale:
    """A linear map from values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the multiples of a round step that lie on the scale, five or so."""
        steps = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
        step = next((step for step in steps if (self.high - self.low) / step <= 7), 1.0)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [step * i for i in range(first, last + 1)]


def _figure(parts: Sequence[Markup], height: float, alternative: str) -> Figure:
    frame = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return Figure(svg=frame.format(WIDTH, height, alternative, Markup("").join(parts)), alternative=alternative)


def _axis_x(scale: _Scale, y: float, form: str) -> Markup:
    ticks = [_line("rule", scale.start, y, scale.end, y)]
    for value in scale.ticks():
        ticks.append(_line("rule", scale(value), y, scale(value), y + 4))
        ticks.append(_text(scale(value), y + 17, form.format(value), "small middle"))
    return Markup("").join(ticks)


def _axis_y(scale: _Scale) -> Markup:
    ticks = [
        _line("grid", LEFT, scale(v), RIGHT, scale(v)) + _text(LEFT - 6, scale(v) + 4, f"{v:.0%}", "small end")
        for v in scale.ticks()
    ]
    return Markup("").join(ticks)


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    shape = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return shape.format(style, x1, y1, x2, y2)


def _bar(style: str, left: float, top: float, right: float, bottom: float) -> Markup:
    shape = Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return shape.format(style, left, top, right - left, bottom - top)


def _text(x: float, y: float, text: str, style: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(style, x, y, text)
