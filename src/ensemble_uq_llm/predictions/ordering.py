"""An order of examples and members that follows from what they say, so that nothing depends on the order of a file.

Random draws that are made row by row, such as those of a bootstrap, meet the same examples however these were given.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.predictions.record import Predictions


def in_order(predictions: Predictions) -> tuple[Predictions, NDArray[np.intp]]:
    """Return the predictions with the examples in order of content, and the number that every row had before.

    The order is that of the logits, whatever the order and the names of the members; then of what else is known of
    the examples; ids decide only between examples that are alike in all of this.
    """
    truth_NC, mass_MN = predictions.true_probs_NC, predictions.answer_mass_MN
    others = [predictions.labels_N, *([] if truth_NC is None else truth_NC.T)]
    order_N = _by_content(predictions.logits_MNC, others, by_name_N=by_name(predictions.ids))
    ordered = replace(
        predictions,
        ids=tuple(predictions.ids[n] for n in order_N.tolist()),
        labels=tuple(predictions.labels[n] for n in order_N.tolist()),
        logits_MNC=predictions.logits_MNC[:, order_N],
        true_probs_NC=None if truth_NC is None else truth_NC[order_N],
        answer_mass_MN=None if mass_MN is None else mass_MN[:, order_N],
        left_out_MN=None if predictions.left_out_MN is None else predictions.left_out_MN[:, order_N],
    )
    return ordered, order_N


def members_by_identity(predictions: Predictions) -> Predictions:
    """Return predictions whose members stand in order of seed and sample, in whatever order a file mentions them."""
    order_M = sorted(range(len(predictions.members)), key=predictions.members.__getitem__)
    members = tuple(predictions.members[m] for m in order_M)
    mass_MN = predictions.answer_mass_MN
    return replace(
        predictions,
        members=members,
        logits_MNC=predictions.logits_MNC[order_M],
        answer_mass_MN=None if mass_MN is None else mass_MN[order_M],
        left_out_MN=None if predictions.left_out_MN is None else predictions.left_out_MN[order_M],
    )


def by_name(ids: Sequence[str]) -> NDArray[np.intp]:
    """Return the order of the examples by id, numbers by their size."""
    return np.array(sorted(range(len(ids)), key=lambda n: (len(ids[n]), ids[n])), dtype=np.intp)


def members_by_content(values_MNC: NDArray[np.float64]) -> list[int]:
    """Return the order of the members by their values, whatever their names, for random choices among them."""
    return sorted(range(len(values_MNC)), key=lambda m: values_MNC[m].tobytes())


def _by_content(
    logits_MNC: NDArray[np.floating], others: Sequence[NDArray[np.generic]], *, by_name_N: NDArray[np.intp]
) -> NDArray[np.intp]:
    sorted_MNC = np.sort(logits_MNC, axis=0)
    first_N = sorted_MNC[0, :, 0]
    if len(np.unique(first_N)) == len(first_N):
        return np.argsort(first_N)
    logits_PN = np.moveaxis(sorted_MNC, 1, 2).reshape(-1, len(first_N))
    keys = [*others, *logits_PN[::-1]]  # the last decides first
    return by_name_N[np.lexsort([key_N[by_name_N] for key_N in keys])]
