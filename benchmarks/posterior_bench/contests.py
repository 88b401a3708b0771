"""Which method is better than which, over training sets: every contest with its interval, adjusted for its makers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from posterior_bench.measuring import MEAN_SHIFT
from posterior_bench.methods import (
    ENSEMBLE,
    ENSEMBLE_TEMPERATURE,
    FIRST,
    FIRST_TEMPERATURE,
    MEMBER,
    MEMBER_TEMPERATURE,
    Method,
    contenders,
)
from posterior_bench.paired import Difference, paired, with_holm

Record: TypeAlias = Mapping[str, Any]
"""What was measured of a cell."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One number that methods are compared by."""

    name: str
    title: str
    lower_is_better: bool = True


MUTUAL_INFORMATION: Final = f"auroc/{MEAN_SHIFT}/mutual_information"
ENTROPY: Final = f"auroc/{MEAN_SHIFT}/entropy"
QUALITIES: Final = (
    Quality(name="truth/kl", title="NLL - Bayes"),
    Quality(name="truth/mean_absolute_error", title="mean abs(p - p*)"),
    Quality(name="ece_excess", title="ECE - floor"),
    Quality(name="aurc", title="AURC"),
    Quality(name=ENTROPY, title="AUROC of entropy", lower_is_better=False),
    Quality(name=MUTUAL_INFORMATION, title="AUROC of mutual information", lower_is_better=False),
)
_WITHOUT_TEMPERATURE: Final = {
    MEMBER_TEMPERATURE.name: MEMBER.name,
    FIRST_TEMPERATURE.name: FIRST.name,
    ENSEMBLE_TEMPERATURE.name: ENSEMBLE.name,
}


@dataclass(frozen=True, kw_only=True)
class Contest:
    """A question: each of some methods against a baseline."""

    title: str
    contenders: tuple[Method, ...]
    baseline: str | None = None
    """None: each method's own, of the very same members."""


def contests() -> tuple[Contest, ...]:
    """Return the questions in the order in which the page asks them."""
    single = tuple(each for each in contenders() if each.parents == "one")
    whole = tuple(each for each in contenders() if each.parents == "all")
    return (
        Contest(
            title="Is the ensemble better than a member, both with a temperature?", contenders=(ENSEMBLE_TEMPERATURE,)
        ),
        Contest(title="Is a maker on one member better than a temperature on it?", contenders=single),
        Contest(
            title="Does a maker on one member replace the ensemble with a temperature, at equal passes?",
            contenders=single,
            baseline=ENSEMBLE_TEMPERATURE.name,
        ),
        Contest(title="Does a maker add anything to the ensemble with a temperature?", contenders=whole),
    )


def value_of(record: Record, method: str, quality: str) -> float | None:
    """Return a method's number on one training set; None where it was not made.

    Where there is no disagreement, as of one set of weights, it is the entropy that mutual information must beat. A
    temperature on the pooled probability leaves the members' disagreement as it is.
    """
    numbers = record["methods"].get(method)
    if numbers is None:
        return None
    if quality == MUTUAL_INFORMATION and quality not in numbers:
        plain = record["methods"].get(_WITHOUT_TEMPERATURE.get(method, method), {})
        return plain.get(quality, numbers.get(ENTROPY))
    return numbers.get(quality)


def settle(contest: Contest, records: Sequence[Record]) -> dict[str, dict[str, Difference]]:
    """Return by quality, then by method, its mean difference to the baseline over training sets of one size.

    The p-values of a quality are adjusted for the number of methods in the contest.
    """
    return {quality.name: with_holm(dict(_differences(contest, records, quality.name))) for quality in QUALITIES}


def _differences(contest: Contest, records: Sequence[Record], quality: str) -> Iterator[tuple[str, Difference]]:
    for method in contest.contenders:
        baseline = contest.baseline or method.baseline
        pairs = [(value_of(each, method.name, quality), value_of(each, baseline, quality)) for each in records]
        known = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
        if known:
            yield method.name, paired(known)


def verdict(difference: Difference, quality: Quality) -> str:
    """Return what a difference shows, after Holm's adjustment."""
    if not difference.shows:
        return "nothing shows"
    return "better" if (difference.mean < 0) == quality.lower_is_better else "worse"
