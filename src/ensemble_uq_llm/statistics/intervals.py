"""A number and how sure one may be of it: an estimate, or a difference of two, with its interval."""

from dataclasses import dataclass
from typing import TypeAlias

Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% confidence interval: how far it may be from that of all examples of this kind.

    None where undefined.
    """

    value: float | None
    ci95: Interval | None
    undefined_draws: int = 0
    """Draws left out of the interval because the value is undefined on them (one class was not drawn)."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A difference between two numbers: its value, 95% interval, and p-value."""

    value: float | None
    ci95: Interval | None
    p_value: float | None
    """Two-sided, of no difference; never below 2 / (draws + 1) nor below 2 / 2^n of n examples that differ. None below
    20 examples (`significance.FEWEST_EXAMPLES`) and without draws."""
    at_floor: bool = False
    """Whether the p-value is the smallest of so many draws, and so a bound: p < 0.002, not p = 0.002."""
