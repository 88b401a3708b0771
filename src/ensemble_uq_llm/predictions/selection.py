"""Parts of predictions: of some of the members, or of the labelled examples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.left_out.left_out_cells import filled
from ensemble_uq_llm.predictions.origin import titles
from ensemble_uq_llm.predictions.record import Predictions


def of_members(predictions: Predictions, members: Sequence[MemberId], *, name: str, others: str) -> Predictions:
    """Return the predictions of these members alone, in their order.

    Args:
        predictions: of these members, and perhaps of others.
        members: who is wanted.
        name: what the predictions are called in a message.
        others: whose members are wanted, in a message.

    Raises:
        DataError: there are no predictions of a member that is wanted.
    """
    if tuple(members) == predictions.members:
        return predictions
    missing = [member.title for member in members if member not in predictions.members]
    if missing:
        raise DataError(f"{name} has no member of {', '.join(missing)}; predict it with the same members as {others}")
    chosen = [predictions.members.index(member) for member in members]
    mass_MN, left_out_MN = predictions.answer_mass_MN, predictions.left_out_MN
    if left_out_MN is not None:  # rows that all of these members were trained on go
        left_out_N = left_out_MN[chosen].any(axis=0)
        if not left_out_N.any():
            raise DataError(f"{name} has no example that {titles(members)} left out; calibrate on other examples")
        predictions = _of_rows(predictions, np.flatnonzero(left_out_N))
        mass_MN, left_out_MN = predictions.answer_mass_MN, predictions.left_out_MN
    logits_MNC = predictions.logits_MNC[chosen]
    return replace(
        predictions,
        members=tuple(members),
        logits_MNC=logits_MNC if left_out_MN is None else filled(logits_MNC, left_out_MN[chosen]),
        answer_mass_MN=None if mass_MN is None else mass_MN[chosen],
        left_out_MN=None if left_out_MN is None else left_out_MN[chosen],
    )


def of_labelled(predictions: Predictions) -> Predictions:
    """Return the predictions of the examples whose label is known; there must be one."""
    known_N = predictions.labelled_N
    return predictions if known_N.all() else _of_rows(predictions, np.flatnonzero(known_N))


def _of_rows(predictions: Predictions, rows_N: NDArray[np.intp]) -> Predictions:
    if len(rows_N) == len(predictions.ids):
        return predictions
    rows = rows_N.tolist()
    truth_NC, mass_MN, left_out_MN = predictions.true_probs_NC, predictions.answer_mass_MN, predictions.left_out_MN
    return replace(
        predictions,
        ids=tuple(predictions.ids[row] for row in rows),
        labels=tuple(predictions.labels[row] for row in rows),
        logits_MNC=np.ascontiguousarray(predictions.logits_MNC[:, rows]),
        true_probs_NC=None if truth_NC is None else truth_NC[rows],
        answer_mass_MN=None if mass_MN is None else mass_MN[:, rows],
        left_out_MN=None if left_out_MN is None else left_out_MN[:, rows],
    )


def check_classes(sets: Mapping[str, Predictions]) -> None:
    """Raise DataError where a set has another number of classes than the first."""
    main, *others = sets
    expected = sets[main].logits_MNC.shape[2]
    for name in others:
        classes = sets[name].logits_MNC.shape[2]
        if classes != expected:
            raise DataError(f"set {name!r} has {classes} classes but {main!r} has {expected}; give sets of one task")
