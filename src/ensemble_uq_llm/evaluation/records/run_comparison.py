"""What two runs show beside each other, on the examples that both predicted."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ensemble_uq_llm.evaluation.records.estimates import MetricEstimate
from ensemble_uq_llm.evaluation.records.protocol_record import ProtocolsBeside
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.utils.text import clipped

Side: TypeAlias = Literal["A", "B"]


@dataclass(frozen=True, kw_only=True)
class AdjustedComparison(Comparison):
    """A difference that is one of several."""

    p_holm: float | None
    """The p-value adjusted for the number of comparisons."""


@dataclass(frozen=True, kw_only=True)
class ComparedMetric:
    """A metric of A and of B, and the difference B - A."""

    a: MetricEstimate
    b: MetricEstimate
    difference: AdjustedComparison
    """Of calibration errors that of the true errors, `debiased`, and not of the values, which noise has raised."""
    better: Side | None
    """Which is better, where the interval excludes 0 and the plain p-value is below 0.05."""


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """The exact test of the accuracy: how many examples only one side answers correctly."""

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True, kw_only=True, repr=False)
class RunComparison:
    """Two runs compared on the labelled examples that both predicted."""

    n: int
    classes: int
    members_a: int
    members_b: int
    same_test_set: bool
    """Whether ids and labels of A and B agree throughout."""
    same_predictions: bool
    """Whether a run was compared with itself."""
    warnings: tuple[str, ...]
    """What was left out or filled in, in words."""
    comparisons: int
    """How many differences have a p-value, for which `p_holm` is adjusted."""
    metrics: dict[str, ComparedMetric]
    """By the names of `comparison.compared_quantities`."""
    mcnemar: McNemar
    verdict: str
    """What the comparison says, in one sentence."""
    protocols: ProtocolsBeside
    """How the numbers of either side came about, and in what that differs."""

    def __repr__(self) -> str:
        return f"RunComparison(n={self.n}, members={self.members_a} and {self.members_b}, {clipped(self.verdict)})"
