"""What a certificate is fitted on and judged by: labelled rows with their scores, their errors, and their groups."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import By
from ensemble_uq_llm.evaluation.measured import uncertainty_of
from ensemble_uq_llm.evaluation.scores import ANSWER_MASS, scores_to_abstain_by, uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_labelled
from ensemble_uq_llm.utils.text import clipped

MOST_GROUPS: Final = 100
"""They share the error probability, and each needs rows of its own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledScores:
    """Rows whose label is known."""

    scores: Mapping[str, NDArray[np.float64]]
    """By name; higher is less certain."""
    wrong_N: NDArray[np.bool_]
    """Whether the ensemble's answer is wrong."""
    by: By = "all"
    groups_N: tuple[str, ...] | None = None
    """The name of every row's group, where there are groups."""
    column: str | None = None
    """Where these names stand, where they are of a column."""

    def take(self, rows: NDArray[np.intp]) -> "LabelledScores":
        """Return some of the rows."""
        groups_N = self.groups_N
        return replace(
            self,
            scores={name: scores_N[rows] for name, scores_N in self.scores.items()},
            wrong_N=self.wrong_N[rows],
            groups_N=None if groups_N is None else tuple(groups_N[row] for row in rows.tolist()),
        )

    def rows_by_group(self) -> dict[str | None, NDArray[np.intp]]:
        """Return the rows of every group by its name, in alphabetical order; all of them where there are no groups."""
        if self.groups_N is None:
            return {None: np.arange(len(self.wrong_N))}
        rows: dict[str | None, list[int]] = {name: [] for name in sorted(set(self.groups_N))}
        for row, name in enumerate(self.groups_N):
            rows[name].append(row)
        return {name: np.array(own, dtype=np.intp) for name, own in rows.items()}


def labelled_scores(
    predictions: Predictions, *, by: By = "all", groups: Mapping[str, str] | None = None, column: str | None = None
) -> LabelledScores:
    """Return the labelled rows of predictions.

    Args:
        predictions: of one or several members.
        by: whether the rows are one, or those of a predicted class or a group are apart.
        groups: of groups, the name of every example's by its id.
        column: of groups, where the names stand.

    Raises:
        DataError: the rows are out of bags, none is labelled, one has no group, or there are more than a hundred
            groups.
    """
    if predictions.left_out_MN is not None:
        raise DataError(
            "training rows, each by the members that left it out, carry no promise: more members answer new questions, "
            "and these rows are not independent of each other; hold rows out of training (calibration_fraction), or "
            "name labelled predictions of other rows"
        )
    if not predictions.labelled_N.any():
        raise DataError("no row has a label, and a promise is fitted on labelled ones; label some, or name another set")
    labelled = of_labelled(predictions)
    uncertainty = uncertainty_of(labelled)
    names = [*scores_to_abstain_by(len(labelled.members)), ANSWER_MASS.name]
    found = uncertainty_scores(uncertainty)
    return LabelledScores(
        scores={name: found[name] for name in names if name in found},
        wrong_N=uncertainty.prediction_N != labelled.labels_N,
        by=by,
        groups_N=_groups(labelled, uncertainty, by=by, groups=groups or {}, column=column),
        column=column,
    )


def predicted_classes(uncertainty: Uncertainty) -> tuple[str, ...]:
    """Return the number of every example's predicted class: its group, where classes are certified apart."""
    return tuple(map(str, uncertainty.prediction_N.tolist()))


def _groups(
    predictions: Predictions, uncertainty: Uncertainty, *, by: By, groups: Mapping[str, str], column: str | None
) -> tuple[str, ...] | None:
    if by == "all":
        return None
    if by == "class":
        return predicted_classes(uncertainty)
    if missing := [name for name in predictions.ids if name not in groups]:
        raise DataError(f"{len(missing):,} labelled rows have no {column}; the first is {clipped(missing[0])}; fill it")
    names = tuple(groups[name] for name in predictions.ids)
    if (different := len(set(names))) > MOST_GROUPS:
        raise DataError(
            f"column {clipped(column)} has {different:,} different values, and {MOST_GROUPS} groups at most are "
            "certified, for they share the error probability; name a coarser column"
        )
    return names
