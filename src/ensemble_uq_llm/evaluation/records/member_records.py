"""What the members are worth: each alone, what pooling gains, smaller ensembles, and how much they differ."""

from dataclasses import dataclass

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate


@dataclass(frozen=True, kw_only=True)
class MemberMetrics:
    """The headline metrics of one member."""

    member: MemberId
    metrics: dict[str, Estimate]


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
    added: dict[str, tuple[Comparison, ...]]
    """What one member more changes, from each size to the next: by metric, of those that are means over examples."""
    slight_from: int | None
    """From how many members on a further one surely lowers the NLL by less than `added_member.SLIGHT`; None where the
    examples do not show it."""
    answer: str
    """What that says to "do I need them all?", in sentences."""


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
