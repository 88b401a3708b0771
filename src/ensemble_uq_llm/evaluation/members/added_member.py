"""What one member more changes, with its interval, and what that says to "do I need them all?".

The mean over ensembles of k + 1 members is set against that over ensembles of k, example by example, so that the two
are paired; the examples are resampled and the members held fixed. On average pooling cannot raise the NLL or the Brier
score above that of smaller ensembles (Jensen), on any examples: that there is a gain is no question, so these have no
p-value. The question is how large it is. In accuracy a further member can harm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.statistics.bootstrap import Resampled, compare, resample
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL, p_in_words
from ensemble_uq_llm.statistics.statistic import family_of, weighted_mean

SLIGHT: Final = 0.001
"""A change of the NLL, in nats, that is called slight: the label's probability changes by a thousandth of itself."""

MEANS: Final = ("accuracy", "nll", "brier")
"""The metrics that are means over examples, of which this is known example by example."""

_CONVEX = ("nll", "brier")
_ROUNDING = 1e-12  # a change below this is rounding


@dataclass(frozen=True, kw_only=True)
class AddedMembers:
    """The changes by metric, of those metrics that are means over examples."""

    steps: dict[str, tuple[Comparison, ...]]
    """From each size to the next, for one member more; below 0 is less."""
    whole: dict[str, Comparison]
    """From one member to all of them."""


def added_members(
    sizes: Sequence[int], terms: Mapping[str, NDArray[np.float64]], *, draws: int, seed: int
) -> AddedMembers:
    """Return what a further member changes.

    Args:
        sizes: K numbers of members, rising from 1 to all.
        terms: by metric what every example contributes to its mean, itself the mean over ensembles of a size, [K, N].
        draws: of the bootstrap over examples.
        seed: of the bootstrap.
    """
    examples = len(next(iter(terms.values()))[0])
    family = family_of({(name, k): weighted_mean(of_K[k]) for name, of_K in terms.items() for k in range(len(sizes))})
    resampled = resample(family, sizes=[examples], draws=draws, seed=seed)

    def change(name: str, k: int, to: int, *, members: int) -> Comparison:
        differing = int((np.abs(terms[name][to] - terms[name][k]) > _ROUNDING).sum())
        found = _compared(resampled, (name, to), (name, k), share=1 / members, differing=differing)
        return replace(found, p_value=None, at_floor=False) if name in _CONVEX else found

    last = len(sizes) - 1
    steps = {
        name: tuple(change(name, k, k + 1, members=sizes[k + 1] - sizes[k]) for k in range(last)) for name in terms
    }
    return AddedMembers(steps=steps, whole={name: change(name, 0, last, members=1) for name in terms})


def slight_from(sizes: Sequence[int], steps: Sequence[Comparison]) -> int | None:
    """Return the smallest size from which on every further member surely lowers the NLL by less than `SLIGHT`.

    That is, by the upper ends of the 95% intervals. Each of the last steps must pass for itself, so that it needs no
    correction for their number. None where that holds of no size.
    """
    found = None
    for size, step in reversed(list(zip(sizes, steps, strict=False))):
        if step.ci95 is None or -step.ci95[0] >= SLIGHT:
            break
        found = size
    return found


def in_words(sizes: Sequence[int], added: AddedMembers, nll_K: Sequence[float], *, examples: int) -> str:
    """Return the answer to "do I need them all?", by evidence.

    Args:
        sizes: the numbers of members, rising from 1 to all.
        added: what a further member changes.
        nll_K: the NLL of each size, the mean over its subsets.
        examples: how many labelled examples there are.
    """
    members = sizes[-1]
    if members == 1:
        return "There is one member only, so nothing can be said of smaller ensembles."
    all_of_them = "both" if members == 2 else f"all {members}"
    levels = f"NLL {nll_K[0]:.3f} with one member, {nll_K[-1]:.3f} with {all_of_them}"
    if examples < FEWEST_EXAMPLES:
        return f"Fewer than {FEWEST_EXAMPLES} labelled examples tell nothing of it ({levels})."
    if added.whole["nll"].ci95 is None:
        return f"Without bootstrap draws nothing can be said of it ({levels})."
    return f"{_of_nll(sizes, added.steps['nll'], examples)} {levels}.{_of_accuracy(added, all_of_them, examples)}"


def _of_nll(sizes: Sequence[int], steps: Sequence[Comparison], examples: int) -> str:
    slight = slight_from(sizes, steps)
    if slight == 1:
        return f"A second member lowers the NLL by less than {SLIGHT} {_lowered(steps[0], 5)}."
    if slight is not None:
        step = steps[list(sizes).index(slight)]
        return f"From {slight} members on, a further one lowers the NLL by less than {SLIGHT} {_lowered(step, 5)}."
    surely = [k for k, step in enumerate(steps) if step.ci95 is not None and -step.ci95[1] >= SLIGHT]
    after = surely[-1] + 1 if surely else 0
    if after == len(steps):
        last = "The second" if sizes[-1] == 2 else f"The last of {sizes[-1]}"
        return f"{last} still lowers the NLL by {-(steps[-1].value or 0.0):.4f} {_lowered(steps[-1])}."
    more = "a second member lowers" if after == 0 else f"more than {sizes[after]} members lower"
    noticeably = f"the NLL by {SLIGHT} or more each" if after else f"the NLL by {SLIGHT} or more"
    return f"That {more} {noticeably} cannot be told from {examples:,} examples {_lowered(steps[after])}."


def _lowered(step: Comparison, digits: int = 4) -> str:
    """Return by how much the NLL is lowered, as an interval."""
    low, high = (end or 0.0 for end in step.ci95 or (0.0, 0.0))
    return f"(95% interval {0.0 - high:z.{digits}f} to {0.0 - low:z.{digits}f})"


def _of_accuracy(added: AddedMembers, all_of_them: str, examples: int) -> str:
    """Return whether all members answer more correctly than one does."""
    change = added.whole.get("accuracy")
    if change is None:
        return ""
    if change.value is None or change.ci95 is None or change.p_value is None or change.p_value >= SIGNIFICANCE_LEVEL:
        told = f"cannot be told from {examples:,} examples"
        return f" That {all_of_them} together answer more correctly than one {told}."
    low, high = (100 * end for end in change.ci95)
    more, ends = ("more", (low, high)) if change.value > 0 else ("less", (-high, -low))
    p_value = p_in_words(change.p_value, at_floor=change.at_floor)
    return (
        f" {all_of_them.capitalize()} together answer {100 * abs(change.value):.1f} points {more} correctly than one "
        f"does (95% interval {ends[0]:.1f} to {ends[1]:.1f}; two-sided {p_value})."
    )


def _compared(
    resampled: Resampled[tuple[str, int]], one: tuple[str, int], other: tuple[str, int], *, share: float, differing: int
) -> Comparison:
    values, draws_D = resampled.values, resampled.draws_D
    return compare(
        *(share * values[one], share * draws_D[one], share * values[other], share * draws_D[other]),
        examples=resampled.examples,
        differing=differing,
    )
