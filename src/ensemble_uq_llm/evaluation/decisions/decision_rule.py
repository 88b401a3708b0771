"""What is answered to questions, and to which of them nothing: by a certificate, or all are answered.

Whoever answers asks here: the command, the classifier in Python, a service.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import EVERY_ROW
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.measured import uncertainty_of
from ensemble_uq_llm.evaluation.scores import BASELINE, uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, log_softmax
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.text import clipped, counted


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenAnswers:
    """What is answered to N questions: the most probable classes, and to which of the questions they are given."""

    class_names: tuple[str, ...]
    prediction_N: NDArray[np.int64]
    """The most probable class, also where nothing is answered."""
    probs_NC: NDArray[np.float64]
    """The pooled probabilities, after the temperature where one was fitted."""
    score: str
    """By which score is decided; higher is less certain."""
    scores_N: NDArray[np.float64]
    answered_N: NDArray[np.bool_]
    certificate: Certificate | None
    """The promise under which it is decided; None where all are answered."""
    uncertainty: Uncertainty = field(repr=False)
    """What is uncertain about each, before any temperature."""

    @property
    def names(self) -> list[str]:
        """The name of the most probable class of each question, also where it is not answered."""
        return [self.class_names[index] for index in self.prediction_N]

    @property
    def labels(self) -> list[str | None]:
        """The answers: the name of a class, or None where nothing is answered."""
        return [name if yes else None for name, yes in zip(self.names, self.answered_N.tolist(), strict=True)]

    @property
    def probability_N(self) -> NDArray[np.float64]:
        """How probable the most probable class of each question is."""
        probability_N: NDArray[np.float64] = np.take_along_axis(self.probs_NC, self.prediction_N[:, None], axis=1)[:, 0]
        return probability_N

    def why(self) -> list[str]:
        """Return in words why each question is answered, or is not."""
        if self.certificate is None:
            return ["no risk was named, so every question is answered"] * len(self.scores_N)
        threshold = self.certificate.threshold
        if threshold is None:
            return [f"nothing can be certified for a risk of {self.certificate.target_risk:g}"] * len(self.scores_N)
        if threshold == EVERY_ROW:
            return [f"every question may be answered at a risk of {self.certificate.target_risk:g}"] * len(
                self.scores_N
            )
        sides = ("is above", "is at most")
        return [
            f"{self.score} {score:.6g} {sides[answered]} {threshold:.6g}"
            for score, answered in zip(self.scores_N.tolist(), self.answered_N.tolist(), strict=True)
        ]

    def __repr__(self) -> str:
        shown = ", ".join("abstained" if each is None else clipped(each[:30]) for each in self.labels[:3])
        more = ", ..." if len(self.scores_N) > 3 else ""
        questions = counted(len(self.scores_N), "question")
        return f"GivenAnswers({self.answered_N.sum():,} of {questions} answered: {shown}{more})"


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """By what is decided: what was fitted on a calibration split, if anything, and the promise, if one is asked for."""

    fitted: Fitted | None = None
    certificate: Certificate | None = None

    @property
    def score(self) -> str:
        """The score that is told, and by which is decided where there is a certificate."""
        return BASELINE if self.certificate is None else self.certificate.score

    @property
    def temperature(self) -> float | None:
        """That of the pooled probability; None where none was fitted."""
        return None if self.fitted is None else self.fitted.temperatures.pooled.value

    def check_made_by(self, members: Sequence[MemberId], origin: Origin, *, classes: int) -> None:
        """Raise DataError where the rule holds for other members than these, or for another number of classes."""
        if self.fitted is not None:
            self.fitted.check_made_by(members, origin, classes=classes)

    def answers(self, predictions: Predictions, class_names: Sequence[str]) -> GivenAnswers:
        """Return what is answered to the examples of some predictions.

        Raises:
            DataError: they are of other members than the rule holds for, or lack the score by which is decided.
        """
        own = predictions if self.fitted is None else self.fitted.of_own_members(predictions)
        uncertainty = uncertainty_of(own)
        answered_N = np.ones(len(own.ids), np.bool_)
        if self.fitted is not None and self.certificate is not None:
            answered_N = self.fitted.answers(own, self.certificate)
        probs_NC = uncertainty.probs_NC
        if self.fitted is not None:
            probs_NC = np.exp(log_softmax(uncertainty.log_probs_NC / self.fitted.temperatures.pooled.value))
        return GivenAnswers(
            class_names=tuple(class_names),
            prediction_N=uncertainty.prediction_N,
            probs_NC=probs_NC,
            score=self.score,
            scores_N=uncertainty_scores(uncertainty)[self.score],
            answered_N=answered_N,
            certificate=self.certificate,
            uncertainty=uncertainty,
        )
