"""What the numbers of one set say: concluded from evidence, and put into words by the report."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.statistics.intervals import Comparison

FindingKind: TypeAlias = Literal[
    "one_class",
    "constant_ensemble",
    "constant_members",
    "not_above_majority",
    "not_below_prior",
    "ensemble_hurts",
    "worse_but_surer",
]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that whoever uses these answers should know; the kinds are told in docs/metrics.md."""

    kind: FindingKind
    n: int
    """The examples that it rests on."""
    metric: str | None = None
    """What was compared."""
    value: float | None = None
    """The ensemble's."""
    other: float | None = None
    """What it is compared with."""
    difference: Comparison | None = None
    """Value minus other."""
    label: int | None = None
    """The class that it is about."""
    members: tuple[MemberId, ...] = ()
    """The members that it is about."""
    scores: tuple[str, ...] = ()
    """The scores of uncertainty that say so."""
