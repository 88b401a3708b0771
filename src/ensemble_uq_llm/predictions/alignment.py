"""Two sets of predictions brought onto the examples that both have, so that every difference is a paired one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.lacking_options import lacks, options_of
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.text import clipped, counted

MANY: Final = 0.2
"""Above this share of labels that differ it is not the labelling that has been corrected, but other data."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """The labelled examples that A and B both predicted, in A's order; members in the order of their seeds."""

    ids: tuple[str, ...]
    """Their names."""
    labels_N: NDArray[np.int64]
    a_MNC: NDArray[np.floating]
    """Logits of A's members."""
    b_MNC: NDArray[np.floating]
    """Logits of B's members, whose number may be another."""
    same_test_set: bool
    """Whether ids and labels of A and B agree throughout."""
    same_predictions: bool
    """Whether ids, seeds and logits agree: a run and itself, though perhaps with other labels."""
    warnings: tuple[str, ...]
    """What was left out or filled in, in words."""


def align(a: Predictions, b: Predictions) -> Aligned:
    """Match the examples of A and B by their ids; a label that only one of them knows holds for both.

    Raises:
        DataError: the numbers of classes or an example's options differ, or no labelled example remains.
    """
    classes = a.logits_MNC.shape[2], b.logits_MNC.shape[2]
    if classes[0] != classes[1]:
        raise DataError(f"A has {classes[0]} classes and B has {classes[1]}; compare predictions of the same task")
    row_of = {name: row for row, name in enumerate(b.ids)}
    in_a = np.array([row for row, name in enumerate(a.ids) if name in row_of], dtype=np.intp)
    if not in_a.size:
        raise DataError(
            f"A and B have no example in common (A has {a.ids[0]!r} first, B {b.ids[0]!r}); "
            "compare predictions of the same set, with the same ids"
        )
    in_b = np.array([row_of[a.ids[row]] for row in in_a.tolist()], dtype=np.intp)
    labels_a_N, labels_b_N = a.labels_N[in_a], b.labels_N[in_b]
    differs_N = (labels_a_N != labels_b_N) & (labels_a_N >= 0) & (labels_b_N >= 0)
    labels_N = np.where(labels_a_N >= 0, labels_a_N, labels_b_N)
    kept = np.flatnonzero((labels_N >= 0) & ~differs_N)
    if not kept.size:
        why = "their labels all differ" if differs_N.any() else "none of them has a label"
        raise DataError(f"A and B have {in_a.size:,} examples in common, but {why}; compare labelled predictions")
    same_ids = len(a.ids) == in_a.size == len(b.ids)
    a_MNC, b_MNC = _by_member(a)[:, in_a], _by_member(b)[:, in_b]
    _check_options(a_MNC[0], b_MNC[0], ids=[a.ids[row] for row in in_a.tolist()])
    labelling = _warn_of_labels(labels_a_N, labels_b_N, differs_N, first=a.ids[in_a[int(np.argmax(differs_N))]])
    return Aligned(
        ids=tuple(a.ids[row] for row in in_a[kept].tolist()),
        labels_N=labels_N[kept],
        a_MNC=a_MNC[:, kept],
        b_MNC=b_MNC[:, kept],
        same_test_set=same_ids and np.array_equal(labels_a_N, labels_b_N),
        same_predictions=same_ids and sorted(a.members) == sorted(b.members) and np.array_equal(a_MNC, b_MNC),
        warnings=(*_warn_of_ids(len(a.ids), len(b.ids), in_a.size), *labelling),
    )


def differing_labels(differ: int, *, of: int, first: str) -> str:
    """Return what to say of labels that contradict each other: where many do, equal ids are no proof of one question.

    Args:
        differ: how many examples have such labels.
        of: how many have a label on both sides.
        first: the first example that does.
    """
    told = f"the labels of {counted(differ, 'example')} differ, first of {clipped(first)}; they are left out"
    if differ <= MANY * of:
        return told
    return f"{told}. That many, {differ / of:.0%}, speak for other questions under the same ids: look at both sets"


def _check_options(a_NC: NDArray[np.floating], b_NC: NDArray[np.floating], *, ids: Sequence[str]) -> None:
    differs_N = (lacks(a_NC) != lacks(b_NC)).any(axis=1)
    if differs_N.any():
        n = int(np.argmax(differs_N))
        of_a, of_b = int(options_of(a_NC[n])), int(options_of(b_NC[n]))
        raise DataError(
            f"example {clipped(ids[n])} has {of_a} options in A and {of_b} in B, or other ones; compare predictions of "
            "the same questions"
        )


def _by_member(predictions: Predictions) -> NDArray[np.floating]:
    """Return the logits in the order of members, so that no rounding tells the same members apart."""
    order = sorted(range(len(predictions.members)), key=lambda m: predictions.members[m])
    return predictions.logits_MNC[order]


def _warn_of_ids(of_a: int, of_b: int, common: int) -> list[str]:
    if of_a == common == of_b:
        return []
    return [
        f"the test sets differ: {of_a - common:,} examples are only in A and {of_b - common:,} only in B; "
        f"compared on the {common:,} that both have"
    ]


def _warn_of_labels(
    labels_a_N: NDArray[np.int64], labels_b_N: NDArray[np.int64], differs_N: NDArray[np.bool_], *, first: str
) -> list[str]:
    warnings = []
    if differs_N.any():
        both = int(((labels_a_N >= 0) & (labels_b_N >= 0)).sum())
        warnings.append(differing_labels(int(differs_N.sum()), of=both, first=first))
    for side, missing_N in (("A", (labels_a_N < 0) & (labels_b_N >= 0)), ("B", (labels_b_N < 0) & (labels_a_N >= 0))):
        if missing_N.any():
            other = "B" if side == "A" else "A"
            warnings.append(f"{side} has no label for {missing_N.sum():,} examples; {other}'s are used")
    unlabelled = int(((labels_a_N < 0) & (labels_b_N < 0)).sum())
    if unlabelled:
        warnings.append(f"{unlabelled:,} examples have no label and are left out")
    return warnings
