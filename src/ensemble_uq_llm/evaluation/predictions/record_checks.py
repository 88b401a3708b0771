"""What a record of predictions must be: the checks that `Predictions` makes when it is made."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId

_SUM_TOLERANCE = 1e-6


def check_shapes(
    ids: Sequence[str],
    labels: Sequence[int | None],
    members: Sequence[MemberId],
    logits_MNC: NDArray[np.float32],
    true_probs_NC: NDArray[np.float64] | None,
) -> None:
    """Raise ValueError where lengths differ, DataError where there are no members or examples, or below two classes."""
    shape = logits_MNC.shape
    expected = len(members), len(ids)
    if len(shape) != 3 or shape[:2] != expected or len(labels) != expected[1]:
        raise ValueError(
            f"logits_MNC has shape {shape}, but there are {expected[0]} members, {expected[1]} ids and "
            f"{len(labels)} labels"
        )
    if true_probs_NC is not None and true_probs_NC.shape != shape[1:]:
        raise ValueError(f"true_probs_NC has shape {true_probs_NC.shape}, but logits_MNC has shape {shape}")
    if 0 in shape[:2]:
        raise DataError(f"there are {shape[0]} members and {shape[1]} examples; at least one of each is needed")
    if shape[2] < 2:
        raise DataError(f"there are {shape[2]} classes; at least logit_0 and logit_1 are needed")


def check_names(ids: Sequence[str], members: Sequence[MemberId]) -> None:
    """Raise DataError where two examples or two members have one name."""
    for names in ([f"id {example!r}" for example in ids], [member.title for member in members]):
        double, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise DataError(f"{double} is there twice; names of examples and members must differ")


def check_labels(ids: Sequence[str], labels: Sequence[int | None], *, classes: int) -> None:
    """Raise DataError where a label is no class."""
    for example, label in zip(ids, labels, strict=True):
        if label is not None and not 0 <= label < classes:
            raise DataError(
                f"example {example!r} has label {label}; with {classes} classes it must be 0 to {classes - 1}, or "
                "null where it is unknown"
            )


def check_logits(ids: Sequence[str], members: Sequence[MemberId], logits_MNC: NDArray[np.float32]) -> None:
    """Raise DataError where a logit is not finite."""
    if not np.isfinite(logits_MNC).all():
        m, n, c = np.argwhere(~np.isfinite(logits_MNC))[0]
        raise DataError(
            f"example {ids[n]!r}, {members[m].title}: logit_{c} is {logits_MNC[m, n, c]}; a member that diverged "
            "must be left out"
        )


def check_truth(ids: Sequence[str], true_probs_NC: NDArray[np.float64]) -> None:
    """Raise DataError where true probabilities are none."""
    # Comparisons with NaN are false, so what is not a number is no distribution either.
    valid_N = (true_probs_NC >= 0).all(axis=1) & (np.abs(true_probs_NC.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not valid_N.all():
        n = int(np.argmin(valid_N))
        raise DataError(
            f"example {ids[n]!r} has true probabilities {true_probs_NC[n].tolist()}; they must be numbers from 0 to 1 "
            "that sum to 1 (or leave all true_ columns out)"
        )
