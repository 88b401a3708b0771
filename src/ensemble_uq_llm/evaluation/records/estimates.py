"""A metric's estimate with its noise floor, and the mean of the members."""

from dataclasses import dataclass

from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.statistics.significance import SIGNIFICANCE_LEVEL


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a perfectly calibrated predictor with the same probabilities would show of a calibration error."""

    mean: float
    p95: float
    """What it exceeds in one draw of twenty."""
    p_value: float | None
    """How often it looks at least as bad as what was observed, one-sided; None below 20 examples
    (`significance.FEWEST_EXAMPLES`)."""
    at_floor: bool = False
    """Whether no draw was as bad, so that the p-value is a bound: 1 / (draws + 1)."""

    @property
    def chance_explains(self) -> bool | None:
        """Whether chance alone would explain what was observed; None where nothing is said."""
        return None if self.p_value is None else self.p_value > SIGNIFICANCE_LEVEL


@dataclass(frozen=True, kw_only=True)
class MetricEstimate(Estimate):
    """A metric with its interval and, of a calibration error, its noise floor and what is left of it without noise.

    The interval of a calibration error is that of the value as it is, noise included: of what other examples, as many,
    would show. The true error has its own, in `debiased`.
    """

    noise_floor: Floor | None = None
    debiased: Estimate | None = None
    """The true error, freed of what noise adds to the value; see `quality.true_error`."""


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of the members' values of a metric; None where undefined."""

    value: float | None
