"""What is drawn of one evaluated set: accuracy by confidence, uncertainties in bins, risk by coverage."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ensemble_uq_llm.statistics.intervals import Interval

HistogramKind: TypeAlias = Literal["correct", "wrong", "unlabelled", "all"]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """A filled bin of the ECE: how confident its answers are, and how many are right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    ci95: Interval
    """Wilson's, of the accuracy."""
    band95: Interval | None
    """Where the accuracy would lie in 95% of draws if the confidences were right; None without draws."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Accuracy by confidence."""

    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True)
class HistogramGroup:
    """The uncertainties of some examples: the share in each bin, the last of which holds what lies beyond."""

    kind: HistogramKind
    n: int
    mean: float
    shares: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """One measure of uncertainty, from 0 to `upper` (common to all sets)."""

    upper: float
    groups: tuple[HistogramGroup, ...]


@dataclass(frozen=True, kw_only=True)
class RiskCoverageCurve:
    """The selective risk at each coverage, in rising order of coverage."""

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
