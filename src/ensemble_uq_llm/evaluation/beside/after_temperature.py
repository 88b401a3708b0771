"""The baseline of every calibration: one temperature on probabilities, fitted on other examples than it is judged on.

On a calibration split where there is one. Without, the set is cut into folds, and a fold's temperature is fitted on the
others: no example has a part in the temperature that it is judged by.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.temperature import fit_temperature
from ensemble_uq_llm.evaluation.uncertainty import log_mean_exp, log_softmax
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES

FOLDS: Final = 5


def folds(examples: int, *, seed: int) -> NDArray[np.int64] | None:
    """Return the fold of every example, drawn; None where there are too few to say anything."""
    if examples < FEWEST_EXAMPLES:
        return None
    return np.random.default_rng(seed).permutation(np.arange(examples) % FOLDS)


def after_split(logits_MNC: NDArray[np.floating], split: Predictions, *, member: int | None) -> NDArray[np.float64]:
    """Return pooled log-probabilities after the temperature that fits the labelled examples of a calibration split.

    Args:
        logits_MNC: of the examples to judge.
        split: predictions of the same members, in the same order.
        member: the one that is judged alone; None for all of them pooled.
    """
    which = slice(None) if member is None else slice(member, member + 1)
    known_N = split.labelled_N
    fitted = fit_temperature(_pooled(split.logits_MNC[which][:, known_N]), split.labels_N[known_N])
    return log_softmax(_pooled(logits_MNC[which]) / fitted.value)


def after_folds(
    logits_MNC: NDArray[np.floating], labels_N: NDArray[np.int64], fold_N: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return pooled log-probabilities after temperatures that are fitted, for each fold, on the examples of the others.

    Args:
        logits_MNC: of the examples to judge.
        labels_N: theirs, all known.
        fold_N: of `folds`.
    """
    log_probs_NC = _pooled(logits_MNC)
    after_NC = np.empty_like(log_probs_NC)
    for fold in range(FOLDS):
        is_own_N = fold_N == fold
        fitted = fit_temperature(log_probs_NC[~is_own_N], labels_N[~is_own_N])
        after_NC[is_own_N] = log_softmax(log_probs_NC[is_own_N] / fitted.value)
    return after_NC


def _pooled(logits_MNC: NDArray[np.floating]) -> NDArray[np.float64]:
    return log_mean_exp(log_softmax(logits_MNC))
