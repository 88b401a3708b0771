"""What several runs show beside each other, on the examples that all of them predicted."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ensemble_uq_llm.evaluation.records.estimates import MetricEstimate
from ensemble_uq_llm.evaluation.records.protocol_record import ProtocolsBeside
from ensemble_uq_llm.evaluation.records.run_comparison import AdjustedComparison
from ensemble_uq_llm.utils.text import clipped

Fitting: TypeAlias = Literal["calibration split", "cross-fitted"]
"""On which examples temperatures are fitted: on those of a calibration split, or on the other folds of the set."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run is, and what it costs; None where nobody knows."""

    name: str
    """What it is called in the tables."""
    path: str | None
    maker: str | None
    """`training`, `none` (the base alone), or the maker of samples."""
    trained_members: int | None
    samples: int | None
    """Of each trained member; None where its members are the trained ones."""
    passes: int
    """How often a row goes through the model when it is predicted."""
    training_seconds: float | None
    making_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class BesideBaseline(AdjustedComparison):
    """A run's metric minus the baseline's; `p_holm` is adjusted for the runs beside it, each metric by itself."""

    is_better: bool | None
    """Whether it is better, or (False) worse; None where chance may be all: p_holm of 0.05 or an interval around 0."""


@dataclass(frozen=True, kw_only=True)
class RunBeside:
    """One run, measured on the examples of all."""

    facts: RunFacts
    calibration_rows: int
    """Labelled examples of its calibration split; 0 where it has none."""
    metrics: dict[str, MetricEstimate]
    """By the names of `beside.quantities`; what cannot be measured of it is absent."""
    one_member: dict[str, float | None]
    """The same of one member alone, as the mean over its members; empty where it has but one."""
    differences: dict[str, BesideBaseline]
    """By metric; empty of the baseline."""
    protocols: ProtocolsBeside
    """Those of the baseline (a) and of this run (b)."""
    cautions: tuple[str, ...]
    """Why its mutual information is worth less than it seems, in words."""


@dataclass(frozen=True, kw_only=True, repr=False)
class RunsBeside:
    """Several runs on the same examples, the baseline first."""

    n: int
    """Labelled examples on which all are measured."""
    classes: int
    draws: int
    shifted: dict[str, int]
    """The shifted sets, and how many examples of each all runs that have it predicted."""
    temperature: Fitting | None
    """On what the temperatures of `nll_after_temperature` are fitted: never on examples that they are judged on."""
    warnings: tuple[str, ...]
    """What was left out or filled in, and what is not comparable, in words."""
    runs: tuple[RunBeside, ...]

    def __repr__(self) -> str:
        return f"RunsBeside(n={self.n}, {clipped(', '.join(run.facts.name for run in self.runs))})"
