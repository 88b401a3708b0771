"""What every member said about every example: the record, checked when it is made."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId

_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The logits of M members on N examples of C classes, checked when it is made.

    Raises:
        DataError: no member or example, fewer than two classes, an id or member twice, a label out of range,
            a logit that is not finite, or true probabilities that are none.
        ValueError: the parts differ in length.
    """

    ids: tuple[str, ...]
    """The examples' names, length N."""
    labels: tuple[int | None, ...]
    """Class indices, length N; None where the label is unknown."""
    members: tuple[MemberId, ...]
    """Who the members are, length M."""
    logits_MNC: NDArray[np.float32]
    """Unnormalised log-probabilities."""
    true_probs_NC: NDArray[np.float64] | None = None
    """The true probability of each class; known only for synthetic worlds."""

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_names(self)
        _check_labels(self)
        _check_logits(self)
        _check_truth(self)

    @cached_property
    def labels_N(self) -> NDArray[np.int64]:
        """The labels as an array; -1 where unknown, so use it together with `labelled_N`."""
        return np.array([-1 if label is None else label for label in self.labels], dtype=np.int64)

    @cached_property
    def labelled_N(self) -> NDArray[np.bool_]:
        """True where the label is known."""
        return self.labels_N >= 0


def _check_shapes(predictions: Predictions) -> None:
    shape = predictions.logits_MNC.shape
    truth = predictions.true_probs_NC
    expected = len(predictions.members), len(predictions.ids)
    if len(shape) != 3 or shape[:2] != expected or len(predictions.labels) != expected[1]:
        raise ValueError(
            f"logits_MNC has shape {shape}, but there are {expected[0]} members, {expected[1]} ids and "
            f"{len(predictions.labels)} labels"
        )
    if truth is not None and truth.shape != shape[1:]:
        raise ValueError(f"true_probs_NC has shape {truth.shape}, but logits_MNC has shape {shape}")
    if 0 in shape[:2]:
        raise DataError(f"there are {shape[0]} members and {shape[1]} examples; at least one of each is needed")
    if shape[2] < 2:
        raise DataError(f"there are {shape[2]} classes; at least logit_0 and logit_1 are needed")


def _check_names(predictions: Predictions) -> None:
    shown = ([f"id {example!r}" for example in predictions.ids], [member.title for member in predictions.members])
    for names in shown:
        double, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise DataError(f"{double} is there twice; names of examples and members must differ")


def _check_labels(predictions: Predictions) -> None:
    classes = predictions.logits_MNC.shape[2]
    for example, label in zip(predictions.ids, predictions.labels, strict=True):
        if label is not None and not 0 <= label < classes:
            raise DataError(
                f"example {example!r} has label {label}; with {classes} classes it must be 0 to {classes - 1}, or "
                "null where it is unknown"
            )


def _check_logits(predictions: Predictions) -> None:
    if not np.isfinite(predictions.logits_MNC).all():
        m, n, c = np.argwhere(~np.isfinite(predictions.logits_MNC))[0]
        raise DataError(
            f"example {predictions.ids[n]!r}, {predictions.members[m].title}: logit_{c} is "
            f"{predictions.logits_MNC[m, n, c]}; a member that diverged must be left out"
        )


def _check_truth(predictions: Predictions) -> None:
    truth_NC = predictions.true_probs_NC
    if truth_NC is None:
        return
    # Comparisons with NaN are false, so what is not a number is no distribution either.
    valid_N = (truth_NC >= 0).all(axis=1) & (np.abs(truth_NC.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not valid_N.all():
        n = int(np.argmin(valid_N))
        raise DataError(
            f"example {predictions.ids[n]!r} has true probabilities {truth_NC[n].tolist()}; they must be numbers "
            "from 0 to 1 that sum to 1 (or leave all true_ columns out)"
        )
