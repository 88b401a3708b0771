"""What is measured of decisions: abstaining, telling a shifted set, temperatures, and sets of classes."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ensemble_uq_llm.evaluation.records.curves import Reliability, RiskCoverageCurve, RocCurve
from ensemble_uq_llm.evaluation.records.estimates import MetricEstimate
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate, Interval


@dataclass(frozen=True, kw_only=True)
class SelectiveScore:
    """How good the answers are that remain when those of the highest score are withheld."""

    numbers: dict[str, Estimate]
    """By the names of `selective.SELECTIVE_NUMBERS`."""
    curve: RiskCoverageCurve
    roc: RocCurve | None = None
    """Of finding the wrong answers; None where all or none are wrong."""


@dataclass(frozen=True, kw_only=True)
class BestScore:
    """Which score to abstain by; see `score_choice`."""

    best: str
    """The score of the lowest criterion among those that are really better than the baseline; else of all."""
    baseline: str
    criterion: str
    gain: Comparison
    """The criterion of the baseline minus that of the best: above 0 where the best is better."""
    p_value_of_choice: float | None
    """One-sided, the choice accounted for; None without draws and below 20 examples."""
    compared: int
    """How many scores there were to choose from, the baseline included."""
    really_better: bool
    """Whether the best score beats the baseline by more than chance and choice explain."""
    answer: str
    """Which score to use, in a sentence."""
    at_floor: bool = False
    """Whether no draw reached the best: that p-value is a bound, 1 / (draws + 1)."""

    @property
    def chosen(self) -> str:
        """The score to use: the best where it is really better, else the baseline."""
        return self.best if self.really_better else self.baseline


Seen: TypeAlias = Literal["less_sure", "surer", "unclear", "too_few"]


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What one score, chosen before any data were seen, says of a set beside the reference; see `shift`."""

    score: str
    auroc: Estimate
    p_value: float | None
    """Of the rank-sum test that both sets are of one distribution; None of fewer than twenty examples of either."""
    p_holm: float | None
    """Adjusted for the number of sets that are compared with the reference."""
    seen: Seen
    """Whether the ensemble is less sure of the set, or surer, by more than chance; or cannot tell it apart."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How well every score tells another set from the reference set, and how much worse it is answered."""

    reference: str
    numbers: dict[str, dict[str, Estimate]]
    """By the names of `shift.DETECTION_NUMBERS`, then by score."""
    detection: Detection
    change: dict[str, Comparison] = field(default_factory=dict)
    """By metric; empty where one of the sets has no labels."""
    roc: dict[str, RocCurve] = field(default_factory=dict)
    """Of finding the shifted examples, by score."""


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """The labelled examples that something was fitted on."""

    name: str
    n: int


@dataclass(frozen=True, kw_only=True)
class FittedTemperature:
    """A temperature, of one member or (None) of the pooled probability."""

    member: MemberId | None
    value: float
    at_bound: bool


@dataclass(frozen=True, kw_only=True)
class TemperatureEffect:
    """The temperatures of one way of scaling, the quality after it, and its change."""

    temperatures: tuple[FittedTemperature, ...]
    after: dict[str, MetricEstimate]
    change: dict[str, Comparison]
    reliability: Reliability | None = None
    """Of the scaled probabilities, in the bins of the unscaled ones."""


@dataclass(frozen=True, kw_only=True)
class TemperatureScaling:
    """What temperatures fitted on other examples change: one of the pooled probability, or one a member."""

    calibration: CalibrationSet
    pooled: TemperatureEffect
    per_member: TemperatureEffect


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """The bounds on the expected coverage, of all examples or of every class."""

    of: Literal["marginal", "class"]
    at_least: float
    at_most: float | tuple[float, ...]


PromiseVerdict: TypeAlias = Literal["kept", "missed", "exceeded", "cannot be told"]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """Whether what a rule covers is compatible with its promise; see `promise`."""

    verdict: PromiseVerdict
    expected95: Interval | None
    """Where the coverage on so many test examples lies for 95% of the rules that are made as this one, on other
    calibration examples; of several classes together for 95%. None where classes are judged one by one."""


@dataclass(frozen=True, kw_only=True)
class GroupCoverage:
    """How often the sets of some examples hold the label: of one size of the set, or of one class."""

    group: int
    n: int
    coverage: float | None
    ci95: Interval | None
    promise: Promise | None = None
    """Of a class, where the rule promises something for every class."""


@dataclass(frozen=True, kw_only=True)
class ConformalSets:
    """A rule for sets of classes at one promised level, and how its sets do."""

    level: float
    calibration_examples: int
    thresholds: tuple[float | None, ...]
    """One a class; None where the class is always included."""
    always_included: tuple[int, ...]
    guarantee: Guarantee
    coverage: Estimate
    """With the exact binomial interval."""
    mean_size: Estimate
    empty: float
    single: float
    by_size: tuple[GroupCoverage, ...]
    by_class: tuple[GroupCoverage, ...]
    promise: Promise


@dataclass(frozen=True, kw_only=True)
class Conformal:
    """Sets that hold the label with a promised probability, by method and by level (such as `0.90`)."""

    calibration: CalibrationSet
    methods: dict[str, dict[str, ConformalSets]]
