"""What is drawn of one evaluated set: accuracy by confidence, uncertainties, risk by coverage, and detection."""

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
    median: float
    shares: tuple[float, ...]
    below: float = 0.0
    """The share below a logarithmic axis, zeros included, which is in none of the bins."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """One measure of uncertainty on an axis that is common to all sets, in bins of equal width on that axis."""

    upper: float
    groups: tuple[HistogramGroup, ...]
    lower: float = 0.0
    """0: a linear axis. Above 0: a logarithmic one, which begins there."""


@dataclass(frozen=True, kw_only=True)
class ScatterGroup:
    """Some of the examples of a kind, evenly from the least entropy to the most, and how many there are of it."""

    kind: HistogramKind
    n: int
    entropy: tuple[float, ...]
    mutual_information: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class UncertaintyScatter:
    """Total uncertainty against what the members disagree on, of some examples of each kind."""

    groups: tuple[ScatterGroup, ...]


@dataclass(frozen=True, kw_only=True)
class RiskCoverageCurve:
    """The selective risk at each coverage, in rising order of coverage."""

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    low: tuple[float, ...] = ()
    """The lower ends of the risks' 95% bootstrap intervals, each of its own coverage; empty without draws."""
    high: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """What share of the positives a threshold on a score finds, by what share of the negatives it takes for them.

    It runs from (0, 0), the highest threshold, to (1, 1).
    """

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
