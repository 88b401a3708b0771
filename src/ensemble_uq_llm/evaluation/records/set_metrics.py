"""Everything that is measured of one evaluated set."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ensemble_uq_llm.evaluation.records.class_records import ByClass, ConstantAnswers
from ensemble_uq_llm.evaluation.records.curves import Histogram, Reliability, UncertaintyScatter
from ensemble_uq_llm.evaluation.records.decision_records import (
    BestScore,
    Conformal,
    SelectiveScore,
    Shift,
    TemperatureScaling,
)
from ensemble_uq_llm.evaluation.records.estimates import Mean, MetricEstimate
from ensemble_uq_llm.evaluation.records.finding_records import Finding
from ensemble_uq_llm.evaluation.records.member_records import (
    ExamplesToRead,
    Gain,
    MemberMetrics,
    PairwiseNumber,
    SizeCurve,
)
from ensemble_uq_llm.evaluation.records.protocol_record import Protocol
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.intervals import Estimate

Role: TypeAlias = Literal["main", "shifted", "other"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How many options the questions of multiple choice have."""

    fewest: int
    most: int


@dataclass(frozen=True, kw_only=True, repr=False)
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
    """`average_SCORE` of every score over all examples, and `mean_confidence`; of multiple choice also
    `average_options`, `average_normalised_entropy` and `accuracy_of_guessing`."""
    histograms: dict[str, Histogram]
    ensemble: dict[str, MetricEstimate] = field(default_factory=dict)
    """By metric; empty where nothing is labelled."""
    members_mean: dict[str, Mean] = field(default_factory=dict)
    per_member: tuple[MemberMetrics, ...] = ()
    other_sets: tuple[str, ...] = ()
    """Of the main set: the sets evaluated with it."""
    reference: str | None = None
    """The set that this one is compared with: of a shifted set, and of other data beside a main set."""
    draws: int | None = None
    findings: tuple[Finding, ...] = ()
    """What whoever uses these answers should know first."""
    class_names: tuple[str, ...] = ()
    """How the classes of predictions of other systems are called; empty where the configuration says it, or nobody."""
    protocol: Protocol | None = None
    """How these numbers came about; None in files of an earlier version."""
    protocol_line: str = ""
    """The same in one sentence."""
    options: Options | None = None
    """Of multiple choice."""
    constant_answers: ConstantAnswers | None = None
    by_class: ByClass | None = None
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
    scatter: UncertaintyScatter | None = None
    """Of the main set, if it has several members."""

    def __repr__(self) -> str:
        return f"SetMetrics({self.in_a_line})"

    @property
    def in_a_line(self) -> str:
        """The set's name, its size, and how many answers are right, as a repr shows them."""
        parts = [repr(self.name), f"n={self.n}", f"members={self.members}"]
        if accuracy := self.ensemble.get("accuracy"):
            interval = "" if accuracy.ci95 is None else " ({:.1%} to {:.1%})".format(*accuracy.ci95)
            parts.append(f"accuracy={accuracy.value:.1%}{interval}")
        return ", ".join(parts)

    @property
    def several(self) -> bool:
        """Whether there is more than one member."""
        return self.members > 1
