"""The examples that all of several runs predicted, so that every number of one can stand beside that of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.lacking_options import lacks, options_of
from ensemble_uq_llm.predictions.alignment import differing_labels
from ensemble_uq_llm.predictions.ordering import by_name
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.text import clipped, counted, listed


@dataclass(frozen=True, kw_only=True, eq=False)
class CommonRows:
    """The examples of all runs, by name, and where each run has them."""

    labels_N: NDArray[np.int64]
    """-1 where no run knows the label, or two contradict each other."""
    rows_N: Mapping[str, NDArray[np.intp]]
    """By run, the rows of its predictions."""
    warnings: tuple[str, ...]
    """What was left out or filled in, in words."""

    @property
    def labelled_N(self) -> NDArray[np.bool_]:
        """Where the label is known."""
        return self.labels_N >= 0


def common_rows(runs: Mapping[str, Predictions], *, of: str = "") -> CommonRows:
    """Match the examples of all runs by their ids; a label that only some of them know holds for all.

    Args:
        runs: predictions of one set, by the runs' names.
        of: the set's name, for messages about a set that is not the compared one.

    Raises:
        DataError: two runs differ in their number of classes or in an example's options, or no example is in all.
    """
    which = f"set {clipped(of)}: " if of else ""
    first, *others = runs
    for name in others:
        classes = [runs[each].logits_MNC.shape[2] for each in (first, name)]
        if classes[0] != classes[1]:
            raise DataError(
                f"{which}{first} has {classes[0]} classes and {name} has {classes[1]}; compare predictions of one task"
            )
    row_of = {name: {example: row for row, example in enumerate(each.ids)} for name, each in runs.items()}
    shared = [example for example in runs[first].ids if all(example in row_of[name] for name in others)]
    if not shared:
        raise DataError(
            f"{which}no example is in all of {listed(runs)}; compare predictions of the same set, with the same ids"
        )
    shared = [shared[n] for n in by_name(shared).tolist()]
    rows_N = {name: np.array([rows[example] for example in shared], dtype=np.intp) for name, rows in row_of.items()}
    _check_options(runs, rows_N, shared, which)
    labels_N, told = _labels(runs, rows_N, shared)
    return CommonRows(
        labels_N=labels_N, rows_N=rows_N, warnings=tuple(which + each for each in (*_of_ids(runs, len(shared)), *told))
    )


def _check_options(
    runs: Mapping[str, Predictions], rows_N: Mapping[str, NDArray[np.intp]], shared: Sequence[str], which: str
) -> None:
    first, *others = runs
    logits_NC = {name: each.logits_MNC[0, rows_N[name]] for name, each in runs.items()}
    for name in others:
        differs_N = (lacks(logits_NC[first]) != lacks(logits_NC[name])).any(axis=1)
        if differs_N.any():
            n = int(np.argmax(differs_N))
            counts = [int(options_of(logits_NC[each][n])) for each in (first, name)]
            raise DataError(
                f"{which}example {clipped(shared[n])} has {counts[0]} options in {first} and {counts[1]} in {name}, or "
                "other ones; compare predictions of the same questions"
            )


def _labels(
    runs: Mapping[str, Predictions], rows_N: Mapping[str, NDArray[np.intp]], shared: Sequence[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the labels that any run knows, -1 where two runs differ, and what to say of it."""
    labels_KN = np.stack([each.labels_N[rows_N[name]] for name, each in runs.items()])
    labels_N = labels_KN.max(axis=0)
    differs_N = ((labels_KN >= 0) & (labels_KN != labels_N)).any(axis=0)
    told = []
    if differs_N.any():
        several = int(((labels_KN >= 0).sum(axis=0) > 1).sum())
        first = shared[int(np.argmax(differs_N))]
        told.append(differing_labels(int(differs_N.sum()), of=several, first=first))
    if filled := [name for name, labels in zip(runs, labels_KN, strict=True) if ((labels < 0) & (labels_N >= 0)).any()]:
        told.append(f"not every label is known in {listed(filled)}; those of the other runs are used")
    if unlabelled := int((labels_N < 0).sum()):
        told.append(f"{counted(unlabelled, 'example')} without a label: no quality is measured on them")
    return np.where(differs_N, -1, labels_N), told


def _of_ids(runs: Mapping[str, Predictions], common: int) -> list[str]:
    more = [f"{name} has {len(each.ids):,}" for name, each in runs.items() if len(each.ids) != common]
    if not more:
        return []
    return [f"the sets differ: measured on the {counted(common, 'example')} that all runs have ({', '.join(more)})"]
