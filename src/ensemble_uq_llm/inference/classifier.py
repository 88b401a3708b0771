"""The ensemble as an object: load it once, ask it many times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prompts import prompt_columns
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, log_softmax, measure_uncertainty
from ensemble_uq_llm.inference.members import LoadedEnsemble, load_members
from ensemble_uq_llm.inference.predict import predict_examples
from ensemble_uq_llm.member import MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Answers to N questions: what the ensemble says, what each member says, and how uncertain it is.

    `probs_NC` is the mean of the members' probabilities `member_probs_MNC`; `uncertainty` holds entropy, expected
    entropy, mutual information, variance and disagreement, one value a question.
    """

    class_names: tuple[str, ...]
    probs_NC: NDArray[np.float64]
    member_probs_MNC: NDArray[np.float64]
    uncertainty: Uncertainty

    @property
    def labels(self) -> list[str]:
        """The name of the most probable class of each question."""
        return [self.class_names[index] for index in self.uncertainty.prediction_N]


class EnsembleClassifier:
    """The trained members of a run over one frozen base, ready to answer."""

    def __init__(self, loaded: LoadedEnsemble, config: Config) -> None:
        self.config = config
        self._loaded = loaded

    @classmethod
    def from_pretrained(cls, run_folder: str | Path, *, adapters: Sequence[str | Path] = ()) -> Self:
        """Load a run folder as `train` wrote it; `adapters` names PEFT folders to use as members instead.

        Raises:
            ConfigError: the folder is not a run. IntegrityError: a member was altered or does not fit.
        """
        config = load_config(Path(run_folder))
        return cls(load_members(config, adapters=[Path(adapter) for adapter in adapters]), config)

    @property
    def members(self) -> tuple[MemberId, ...]:
        """The members that answer."""
        return self._loaded.ensemble.members

    def predict(self, questions: Sequence[Mapping[str, str]]) -> Prediction:
        """Answer questions, each a mapping of the prompt's columns to texts (for BoolQ: question, passage).

        Raises:
            DataError: a question lacks a column of the prompt, or is not text.
        """
        columns = prompt_columns(self.config.prompt_template)
        for index, question in enumerate(questions):
            for column in columns:
                if not isinstance(question.get(column), str):
                    raise DataError(
                        f"questions[{index}]: {column!r} must be text, found {question.get(column)!r}; the prompt is "
                        f"{self.config.prompt_template!r}"
                    )
        if not questions:
            raise DataError("questions: empty; give at least one")
        examples = [Example(id=str(index), fields=dict(question)) for index, question in enumerate(questions)]
        logits_MNC = predict_examples(self._loaded, examples, self.config).logits_MNC
        uncertainty = measure_uncertainty(logits_MNC)
        return Prediction(
            class_names=self.config.class_labels,
            probs_NC=uncertainty.probs_NC,
            member_probs_MNC=np.exp(log_softmax(logits_MNC)),
            uncertainty=uncertainty,
        )
