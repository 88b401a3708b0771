"""One set of predictions, measured: what the blocks of the metrics JSON are made from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.scores import scores_to_rank
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, joined, log_softmax, measure_uncertainty
from ensemble_uq_llm.predictions.left_out.left_out_cells import by_who_left_out
from ensemble_uq_llm.predictions.record import Predictions


def uncertainty_of(predictions: Predictions) -> Uncertainty:
    """Measure the uncertainty of every example, the answer mass included where it is known.

    Of training rows only the members count that left the row out: fewer than there are of new rows.
    """
    if predictions.left_out_MN is not None:
        return _by_who_left_out(predictions, predictions.left_out_MN)
    return measure_uncertainty(predictions.logits_MNC, answer_mass_MN=predictions.answer_mass_MN)


def _by_who_left_out(predictions: Predictions, left_out_MN: NDArray[np.bool_]) -> Uncertainty:
    members_M = np.arange(len(left_out_MN))[:, None]
    parts = []
    groups = by_who_left_out(np.broadcast_to(members_M, left_out_MN.shape), left_out_MN)
    for rows, member_MN in groups:
        mass_MN = predictions.answer_mass_MN
        parts.append(
            measure_uncertainty(
                predictions.logits_MNC[member_MN, rows],
                answer_mass_MN=None if mass_MN is None else mass_MN[member_MN, rows],
            )
        )
    order_N = np.argsort(np.concatenate([rows for rows, _ in groups]))
    return joined(parts).take(order_N)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Predictions and what is uncertain about them; N counts the labelled examples but for `uncertainty`."""

    predictions: Predictions
    uncertainty: Uncertainty

    @staticmethod
    def of(predictions: Predictions) -> "Measured":
        """Measure the uncertainty of every example."""
        return Measured(predictions=predictions, uncertainty=uncertainty_of(predictions))

    @property
    def n(self) -> int:
        """The number of labelled examples."""
        return len(self.labels_N)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self.predictions.logits_MNC.shape[2]

    @cached_property
    def labels_N(self) -> NDArray[np.int64]:
        """The labels."""
        return self.predictions.labels_N[self.predictions.labelled_N]

    @cached_property
    def log_probs_NC(self) -> NDArray[np.float64]:
        """The pooled log-probabilities."""
        return self.uncertainty.log_probs_NC[self.predictions.labelled_N]

    @cached_property
    def lacks_NC(self) -> NDArray[np.bool_] | None:
        """The classes that each example lacks; None where every example of the set has all."""
        lacks_NC = self.uncertainty.lacks_NC
        return None if lacks_NC is None else lacks_NC[self.predictions.labelled_N]

    @cached_property
    def log_probs_MNC(self) -> NDArray[np.float64]:
        """The members' log-probabilities."""
        return log_softmax(self.predictions.logits_MNC[:, self.predictions.labelled_N])

    @cached_property
    def confidence_N(self) -> NDArray[np.float64]:
        """The predicted classes' pooled probabilities."""
        return self.uncertainty.confidence_N[self.predictions.labelled_N]

    @cached_property
    def wrong_N(self) -> NDArray[np.bool_]:
        """Where the ensemble's answer is wrong."""
        return self.uncertainty.prediction_N[self.predictions.labelled_N] != self.labels_N

    @cached_property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Every uncertainty score by its name, to be ranked."""
        known_N = self.predictions.labelled_N
        [scores] = scores_to_rank(self.uncertainty)
        return {name: scores_N[known_N] for name, scores_N in scores.items()}
