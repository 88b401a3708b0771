"""Logarithmic axes, for what spreads over decades, and numbers in powers of ten."""

from dataclasses import dataclass
from math import ceil, floor, log10

from ensemble_uq_llm.report.figures.svg import AnyScale, Form, Scale, decimals_for

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FEW = 3
"""Powers of ten below which an axis has ticks at 2 and 5 between them, too."""


@dataclass(frozen=True)
class LogScale:
    """A logarithmic map from values to coordinates; values beyond its ends, and 0, are drawn at them."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        within = min(self.high, max(self.low, value))
        return self.start + log10(within / self.low) / log10(self.high / self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the powers of ten on the scale; where these are few, 2 and 5 times them as well."""
        first, last = ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9)
        digits = (1, 2, 5) if last - first + 1 < _FEW else (1,)
        ticks = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in digits]
        return [tick for tick in ticks if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def scale_between(low: float, high: float, start: float, end: float) -> AnyScale:
    """Return a logarithmic scale where it begins above 0, else a linear one."""
    return LogScale(low, high, start, end) if low else Scale(low, high, start, end)


def form_of(scale: AnyScale) -> Form:
    """Return how the ticks of a scale are labelled."""
    if isinstance(scale, Scale):
        return decimals_for(scale, percent=False)
    return power_of_ten if len(scale.ticks()) >= _FEW and scale.ticks()[1] / scale.ticks()[0] > 9 else "g"


def power_of_ten(value: float) -> str:
    """Return a power of ten, such as 10⁻⁴; 1 and 10 as they are."""
    power = round(log10(value))
    return format(value, "g") if power in (0, 1) else f"10{_raised(power)}"


def few_digits(value: float) -> str:
    """Return a number in two digits, such as 0.0013 or 2.4·10⁻⁵."""
    if value == 0 or abs(value) >= 1e-4:
        return format(value, ".2g")
    digits, power = format(value, ".1e").split("e")
    return f"{digits}·10{_raised(int(power))}"


def _raised(power: int) -> str:
    return str(power).translate(_SUPERSCRIPTS)
