"""The ensemble as an object: load it once, ask it many times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prompts import prompt_columns
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.decision_rule import GivenAnswers
from ensemble_uq_llm.evaluation.files.run_rule import rule_of_run
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, log_softmax, measure_uncertainty
from ensemble_uq_llm.labels.option_letters import FEWEST_OPTIONS, OPTIONS_FIELD, lettered, names_options
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.files import AnyPath, as_path
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, counted, listed

if TYPE_CHECKING:
    from ensemble_uq_llm.inference.members import LoadedEnsemble


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Answers to N questions: what the ensemble says, what each member says, and how uncertain it is.

    `probs_NC` is the mean of the members' probabilities `member_probs_MNC`; `uncertainty` holds entropy, expected
    entropy, mutual information, variance and disagreement, one value a question. One question is N = 1.
    """

    class_names: tuple[str, ...]
    probs_NC: NDArray[np.float64]
    member_probs_MNC: NDArray[np.float64]
    uncertainty: Uncertainty

    @property
    def labels(self) -> list[str]:
        """The name of the most probable class of each question."""
        return [self.class_names[index] for index in self.uncertainty.prediction_N]

    def __repr__(self) -> str:
        members, questions, _ = self.member_probs_MNC.shape
        first = list(zip(self.labels, self.uncertainty.confidence_N, strict=True))[:3]
        answers = ", ".join(f"{clipped(label[:30])} {confidence:.3f}" for label, confidence in first)
        more = ", ..." if questions > len(first) else ""
        return f"Prediction({counted(questions, 'question')}, {counted(members, 'member')}: {answers}{more})"


class EnsembleClassifier:
    """The trained members of a run over one frozen base, ready to answer."""

    def __init__(self, loaded: "LoadedEnsemble", config: Config) -> None:
        self.config = config
        self._loaded = loaded

    def __repr__(self) -> str:
        members = counted(len(self.members), "member")
        classes = counted(self.config.num_labels, "class", "classes")
        return f"EnsembleClassifier({members} of {clipped(self.config.model_name)}, {classes})"

    @classmethod
    @naming_extras()
    def from_pretrained(cls, run_folder: AnyPath, *, adapters: Sequence[AnyPath] = ()) -> Self:
        """Load a run folder as `train` wrote it; `adapters` names PEFT folders to use as members instead.

        Raises:
            ConfigError: the folder is not a run. IntegrityError: a member was altered or does not fit.
            MissingExtraError: the libraries of the engine are not installed.
        """
        config = load_config(run_folder)
        from ensemble_uq_llm.inference.members import load_members

        return cls(load_members(config, adapters=[as_path(each, "adapters") for each in adapters]), config)

    @property
    def members(self) -> tuple[MemberId, ...]:
        """The members that answer."""
        return self._loaded.ensemble.members

    def predict(self, questions: str | Mapping[str, str] | Sequence[str | Mapping[str, str]]) -> Prediction:
        """Answer one question or a sequence of them, in their order.

        Args:
            questions: each a mapping of the prompt's columns to texts (for BoolQ: question, passage); or a bare text
                where the prompt has one column. Of multiple choice `options` is a list of texts.

        Raises:
            DataError: a question lacks a column of the prompt, or is not text; the message shows one that fits.
        """
        logits_MNC = self._asked(questions).logits_MNC
        uncertainty = measure_uncertainty(logits_MNC)
        return Prediction(
            class_names=self.config.class_labels,
            probs_NC=uncertainty.probs_NC,
            member_probs_MNC=np.exp(log_softmax(logits_MNC)),
            uncertainty=uncertainty,
        )

    def decide(
        self,
        questions: str | Mapping[str, str] | Sequence[str | Mapping[str, str]],
        *,
        target_risk: float | None = None,
        confidence: float | None = None,
    ) -> GivenAnswers:
        """Answer one question or several, but where the certificate of a risk in `decision.json` says to abstain.

        Args:
            questions: as of `predict`.
            target_risk: at most this share of the answers is wrong, by the certificate; None answers all.
            confidence: that of the certificate; the highest that there is where it is None.

        Raises:
            DataError: as `predict`; there is no certificate for the risk, and the message names the command that makes
                one; or `decision.json` is for other members than these. IntegrityError: it is torn.
        """
        from ensemble_uq_llm.inference.predict import origin_of

        rule = rule_of_run(RunFolder(self.config.output_dir), target_risk=target_risk, confidence=confidence)
        origin = origin_of(self._loaded, self.config)
        rule.check_made_by(self.members, origin, classes=self.config.num_labels)
        predictions = replace(self._asked(questions), origin=origin)
        return rule.answers(predictions, self.config.class_labels)

    def _asked(self, questions: Any) -> Predictions:
        """Return every member's logits on one question or several."""
        from ensemble_uq_llm.inference.predict import predict_examples

        several: Any = [questions] if isinstance(questions, str | Mapping) else questions
        if not isinstance(several, Sequence) or isinstance(several, bytes):
            raise DataError(f"questions: found {type(questions).__name__}; give a text, a mapping, or a list of them")
        if not several:
            raise DataError("questions: empty; give at least one")
        examples = [self._example(question, index) for index, question in enumerate(several)]
        return predict_examples(self._loaded, PreparedSet(examples, self.config))

    def _example(self, question: Any, index: int) -> Example:
        options = question.get(OPTIONS_FIELD) if isinstance(question, Mapping) else None
        if not isinstance(options, list | tuple) or not names_options(self.config.prompt_template):
            return Example(id=str(index), fields=self._fields(question, index))
        most = self.config.num_labels
        if not FEWEST_OPTIONS <= len(options) <= most or not all(isinstance(o, str) and o.strip() for o in options):
            raise DataError(
                f"questions[{index}]: {OPTIONS_FIELD!r} is {clipped(options)}; give {FEWEST_OPTIONS} to {most} texts"
            )
        fields = self._fields({**question, OPTIONS_FIELD: lettered(options)}, index)
        return Example(id=str(index), fields=fields, options=len(options))

    def _fields(self, question: Any, index: int) -> dict[str, str]:
        """Return the texts of the prompt's columns."""
        columns = prompt_columns(self.config.prompt_template)
        fitting = "{" + ", ".join(f"{column!r}: '...'" for column in columns) + "}"
        if isinstance(question, str):
            if len(columns) > 1:
                raise DataError(
                    f"questions[{index}]: a bare text, but the prompt needs {listed(columns)}; give {fitting}"
                )
            return {columns[0]: question}
        if not isinstance(question, Mapping):
            raise DataError(
                f"questions[{index}]: found {type(question).__name__}; give {fitting}"
                + (" or a text" if len(columns) == 1 else "")
            )
        for column in columns:
            if column not in question:
                near = _misspelt(column, question)
                raise DataError(f"questions[{index}]: {column!r} is missing{near}; the prompt needs {fitting}")
            if not isinstance(question[column], str):
                raise DataError(
                    f"questions[{index}]: {column!r} must be text, found {clipped(question[column])}; the prompt needs "
                    f"{fitting}"
                )
        return {column: question[column] for column in columns}


def _misspelt(column: str, question: Mapping[Any, Any]) -> str:
    hints = ((key, did_you_mean(str(key), [column])) for key in question)
    return next((f" (there is {key!r}{hint})" for key, hint in hints if hint), "")
