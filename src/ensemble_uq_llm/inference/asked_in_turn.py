"""Members asked one after another: only the pairs of member and example that are still asked go through the model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import FIRST, ExitRule
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.inference.members import LoadedEnsemble
from ensemble_uq_llm.inference.predict import predictions_of
from ensemble_uq_llm.labels.lacking_options import masked
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.logits import Tell, member_logits
from ensemble_uq_llm.models.memory import naming_memory
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.storage import stop


@naming_memory("prediction", "lower tokens_per_pass or max_length", "set use_bf16: true")
def predict_in_turn(
    loaded: LoadedEnsemble,
    prepared: PreparedSet,
    rule: ExitRule,
    *,
    order: Sequence[MemberId],
    tell: Tell | None = None,
) -> Predictions:
    """Return the logits of the members that are asked about each example; the others count as not asked.

    `left_out_MN` of the result says who was asked; it is None where everybody was.

    Args:
        loaded: the members.
        prepared: the examples.
        rule: when no further member is asked.
        order: the members that are asked, in this order.
        tell: hears how far it is.

    Raises:
        DataError: a prompt that cannot be cut to `max_length`. StopRequested: somebody asked for it.
    """
    tokens, ensemble = prepared.tokens(loaded.tokenizer), loaded.ensemble
    places_M = np.array([ensemble.members.index(member) for member in order])
    logits = np.zeros((len(ensemble.members), len(tokens), ensemble.head.width), dtype=np.float32)
    asked_MN = np.zeros(logits.shape[:2], dtype=np.bool_)
    open_rows = np.arange(len(tokens))
    with stop.held_back():
        for start, end in _turns(len(order)):
            turn_M = places_M[start:end]
            sequences = [tokens.sequences[row] for row in open_rows.tolist()]
            found = member_logits(ensemble, sequences, budget=loaded.budget, members=turn_M.tolist(), tell=_checking)
            logits[turn_M[:, None], open_rows] = found
            asked_MN[turn_M[:, None], open_rows] = True
            so_far = logits[places_M[:end, None], open_rows][..., : ensemble.spec.classes]
            options_N = None if tokens.options_N is None else tokens.options_N[open_rows]
            open_rows = open_rows[~rule.settled(_probs(so_far, options_N))]
            if tell is not None:
                tell(end * len(tokens), len(order) * len(tokens))
            if not len(open_rows):
                break
    return predictions_of(loaded, prepared, logits, None if asked_MN.all() else asked_MN)


def _turns(members: int) -> list[tuple[int, int]]:
    """Return from which to which of the members each turn asks: the first few together, then one by one."""
    first = min(FIRST, members)
    return [(0, first), *((member, member + 1) for member in range(first, members))]


def _probs(logits_MNC: NDArray[np.float32], options_N: NDArray[np.int64] | None) -> NDArray[np.float64]:
    return np.exp(log_softmax(masked(logits_MNC, options_N)))


def _checking(_done: int, _of: int) -> None:
    stop.check()
