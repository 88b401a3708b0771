"""Numbers with their uncertainty over examples: estimates, comparisons, and the noise floor of a calibration error."""

from dataclasses import dataclass
from typing import TypeAlias

Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval; None where undefined."""

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
    """Two-sided, of no difference; never below 2 / (draws + 1)."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a perfectly calibrated predictor with the same probabilities would show of a calibration error."""

    mean: float
    p95: float
    """What it exceeds in one draw of twenty."""
    p_value: float
    """How often it looks at least as bad as what was observed."""


@dataclass(frozen=True, kw_only=True)
class MetricEstimate(Estimate):
    """A metric with its interval and, of a calibration error, its noise floor."""

    noise_floor: Floor | None = None


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of the members' values of a metric; None where undefined."""

    value: float | None
