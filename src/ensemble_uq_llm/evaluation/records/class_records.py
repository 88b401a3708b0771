"""What is measured class by class, and beside it what constant answers would earn."""

from dataclasses import dataclass

from ensemble_uq_llm.statistics.intervals import Comparison, Estimate


@dataclass(frozen=True, kw_only=True)
class OfClass:
    """One class: how often it is the label and how often the answer, and how often the two agree."""

    label: int
    n: int
    """Examples with this label."""
    share: float
    """Of the labelled examples."""
    answered: int
    """Examples that the ensemble puts into this class."""
    precision: Estimate
    """The share of right answers among those of this class; undefined where it is never the answer."""
    recall: Estimate
    """The share of this class's examples that are found; undefined where it is never the label."""
    f1: Estimate
    """Their harmonic mean; undefined where it is neither."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How many examples of one class are taken for another."""

    label: int
    answer: int
    n: int


@dataclass(frozen=True, kw_only=True)
class ByClass:
    """Every class, and which is taken for which."""

    classes: tuple[OfClass, ...]
    matrix: tuple[tuple[int, ...], ...] | None
    """Examples by label (rows) and answer (columns); None for more than a hundred classes."""
    largest_confusions: tuple[Confusion, ...]
    """The pairs of classes that are confused most, twenty at most."""


@dataclass(frozen=True, kw_only=True)
class BesideConstant:
    """One metric of answers that are the same for every example, and how far the ensemble is from it."""

    value: Estimate
    gain: Comparison
    """The ensemble's value minus it, paired draw by draw."""


@dataclass(frozen=True, kw_only=True)
class ConstantAnswers:
    """What who knows the classes' frequencies, and looks at no example, would get."""

    majority: int
    """The commonest class among the labels, the first of several."""
    metrics: dict[str, BesideConstant]
    """`accuracy` of always answering that class; `nll` and `brier` of always giving the classes' frequencies."""
