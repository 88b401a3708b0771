"""A run that is to stand beside others: what it predicted, and what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ensemble_uq_llm.evaluation.protocol.known_of_predictions import known_of_predictions
from ensemble_uq_llm.evaluation.records import Protocol, RunFacts
from ensemble_uq_llm.predictions.record import Predictions


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedRun:
    """A run's predictions of the compared set and of others, and how they came about."""

    facts: RunFacts
    predictions: Predictions
    protocol: Protocol
    split: Predictions | None = None
    """Of its calibration split, by the same members in the same order, none of them an example of the compared set."""
    shifted: Mapping[str, Predictions] = field(default_factory=dict)
    """Of shifted sets, by the same members in the same order."""
    cautions: tuple[str, ...] = ()
    """Why its mutual information is worth less than it seems, in words."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.facts.name

    @property
    def calibration_rows(self) -> int:
        """The number of labelled examples of its calibration split."""
        return 0 if self.split is None else int(self.split.labelled_N.sum())

    @staticmethod
    def of(name: str, predictions: Predictions, *, shifted: Mapping[str, Predictions] | None = None) -> "ComparedRun":
        """Return predictions of whose making nothing is known but what they tell themselves."""
        facts = RunFacts(
            name=name,
            path=None,
            maker=None,
            trained_members=None,
            samples=None,
            passes=len(predictions.members),
            training_seconds=None,
            making_seconds=None,
        )
        protocol = known_of_predictions(predictions, calibration_rows=0)
        return ComparedRun(facts=facts, predictions=predictions, protocol=protocol, shifted=shifted or {})
