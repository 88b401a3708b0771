"""What a metrics JSON holds, as typed records: everything that is measured of one evaluated set.

The report, the tables and the comparisons read these attributes; `metrics_json.py` alone writes and reads the file.
None is "undefined" where a number is meant (an AUC without one of the classes), and "does not apply" where a block is
(no temperature without a calibration split). Entropies and divergences are in nats. What the blocks mean, and by which
formula each number is computed, is said in docs/metrics.md.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ensemble_uq_llm.member import MemberId

Role: TypeAlias = Literal["main", "shifted", "other"]
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


@dataclass(frozen=True, kw_only=True)
class MemberMetrics:
    """The headline metrics of one member."""

    member: MemberId
    metrics: dict[str, Estimate]


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

    kind: Literal["correct", "wrong", "unlabelled", "all"]
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


@dataclass(frozen=True, kw_only=True)
class SelectiveScore:
    """How good the answers are that remain when those of the highest score are withheld."""

    numbers: dict[str, Estimate]
    """By the names of `selective.SELECTIVE_NUMBERS`."""
    curve: RiskCoverageCurve


@dataclass(frozen=True, kw_only=True)
class BestScore:
    """Which score to abstain by; see `score_choice`."""

    best: str
    baseline: str
    criterion: str
    gain: Comparison
    p_value_of_choice: float | None
    compared: int
    really_better: bool
    answer: str


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The score that tells a shifted set from the reference best, and its AUROC."""

    score: str
    auroc: float


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How well every score tells a shifted set from the reference set, and how much worse it is answered."""

    reference: str
    numbers: dict[str, dict[str, Estimate]]
    """By the names of `shift.DETECTION_NUMBERS`, then by score."""
    best: Detection | None
    change: dict[str, Comparison] = field(default_factory=dict)
    """By metric; empty where one of the sets has no labels."""


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


@dataclass(frozen=True, kw_only=True)
class GroupCoverage:
    """How often the sets of some examples hold the label: of one size of the set, or of one class."""

    group: int
    n: int
    coverage: float | None
    ci95: Interval | None


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


@dataclass(frozen=True, kw_only=True)
class Conformal:
    """Sets that hold the label with a promised probability, by method and by level (such as `0.90`)."""

    calibration: CalibrationSet
    methods: dict[str, dict[str, ConformalSets]]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What the ensemble gains over the mean of its members, and over the best of them."""

    over_mean: Comparison
    over_best: Comparison
    best_member: MemberId | None


@dataclass(frozen=True, kw_only=True)
class SubsetSummary:
    """A metric over subsets of the members: one number for each size; None where undefined."""

    mean: tuple[float | None, ...]
    sd: tuple[float | None, ...]
    min: tuple[float | None, ...]
    max: tuple[float | None, ...]
    p5: tuple[float | None, ...]
    p95: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class SizeCurve:
    """Every metric of smaller ensembles, pooled from subsets of the members."""

    sizes: tuple[int, ...]
    subsets: tuple[int, ...]
    metrics: dict[str, SubsetSummary]
    enough: int | None
    answer: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The number of two members."""

    value: float
    members: tuple[MemberId, MemberId]


@dataclass(frozen=True, kw_only=True)
class PairwiseNumber:
    """How much pairs of members differ, by one measure."""

    mean: Estimate
    min: Pair | None
    max: Pair | None
    matrix: tuple[tuple[float | None, ...], ...] | None


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What one member says of an example, and the probability that it gives it."""

    member: MemberId
    prediction: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class SingleExample:
    """An example worth reading, with every member's vote."""

    id: str
    label: int | None
    prediction: int
    confidence: float
    entropy: float
    mutual_information: float
    votes: tuple[Vote, ...]


@dataclass(frozen=True, kw_only=True)
class ExamplesToRead:
    """The most uncertain examples, and the mistakes of the highest confidence."""

    most_uncertain: tuple[SingleExample, ...]
    most_confidently_wrong: tuple[SingleExample, ...]


@dataclass(frozen=True, kw_only=True)
class SetMetrics:
    """Everything that is measured of one evaluated set."""

    name: str
    role: Role
    n: int
    labelled: int
    members: int
    classes: int
    member_ids: tuple[MemberId, ...]
    uncertainty: dict[str, float]
    """`average_SCORE` of every score over all examples, and `mean_confidence`."""
    histograms: dict[str, Histogram]
    ensemble: dict[str, MetricEstimate] = field(default_factory=dict)
    """By metric; empty where nothing is labelled."""
    members_mean: dict[str, Mean] = field(default_factory=dict)
    per_member: tuple[MemberMetrics, ...] = ()
    other_sets: tuple[str, ...] = ()
    """Of the main set: the sets evaluated with it."""
    reference: str | None = None
    """Of a shifted set: the set that it is compared with."""
    draws: int | None = None
    reliability: Reliability | None = None
    selective: dict[str, SelectiveScore] = field(default_factory=dict)
    """By score."""
    best_score: BestScore | None = None
    shift: Shift | None = None
    temperature: TemperatureScaling | None = None
    conformal: Conformal | None = None
    gain: dict[str, Gain] = field(default_factory=dict)
    """By headline metric; empty of a single member."""
    size_curve: SizeCurve | None = None
    diversity: dict[str, PairwiseNumber] = field(default_factory=dict)
    truth: dict[str, Estimate] = field(default_factory=dict)
    """Where true probabilities are known; by the names of `truth.TRUTH_NUMBERS`."""
    examples: ExamplesToRead | None = None

    @property
    def several(self) -> bool:
        """Whether there is more than one member."""
        return self.members > 1
