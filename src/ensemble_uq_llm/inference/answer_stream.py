"""A data file answered a shard at a time: read, predicted, decided, written, and then the next."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prepare import tokenize
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.row_stream import RowStream, checked_stream
from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule, GivenAnswers
from ensemble_uq_llm.evaluation.decisions.leaving.exit_plan import ExitPlan
from ensemble_uq_llm.inference.asked_in_turn import predict_in_turn
from ensemble_uq_llm.inference.kept_answers import Counts, KeptAnswers
from ensemble_uq_llm.inference.members import LoadedEnsemble, base_of
from ensemble_uq_llm.inference.predict import origin_of, predict_examples, prediction_settings
from ensemble_uq_llm.inference.shards import KeptShards
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.models.logits import Tell
from ensemble_uq_llm.outgoing.spreadsheet_cells import csv_cell
from ensemble_uq_llm.predictions.record import Predictions

COLUMNS: Final = ("id", "text", "class", "probability", "score", "decision", "why", "members")
"""What is written of every question."""

ANSWERED: Final = "answered"
ABSTAINED: Final = "abstained"


@dataclass(frozen=True, kw_only=True)
class AnswerSummary:
    """How the questions of a file were answered."""

    data: str
    """The file's path."""
    data_digest: str
    rows: int
    answered: int
    predicted_by_class: Mapping[str, int]
    """How many questions each class is the most probable one of."""
    answered_by_class: Mapping[str, int]
    score: str
    threshold: float | None
    """A question is answered where its score is at most this; None where all are, or nothing could be certified."""
    target_risk: float | None
    """At most this share of the answers is wrong, by the certificate; None where no promise was asked for."""
    confidence: float | None
    temperature: float | None
    members: tuple[str, ...]
    members_asked: float
    """How many of them were asked about a question, on average."""
    exit: Mapping[str, Any] | None
    """When no further member was asked, with the promise, and its price on the calibration rows; None: all were."""
    resumed_after: int
    """How many rows an interrupted command had answered before."""

    @property
    def coverage(self) -> float:
        """The share of the questions that is answered."""
        return self.answered / self.rows


def checked_questions(config: Config, path: Path) -> RowStream:
    """Return a data file as questions, each of which was found to fit the prompt and its length; labels are not read.

    Raises:
        DataError: a row cannot be used. ModelError: the base's tokenizer cannot be had.
    """
    tokenizer = load_tokenizer(base_of(config))
    columns = Columns.of(config, class_names=config.class_labels, require_labels=False)
    return checked_stream(path, columns, look=lambda examples: tokenize(config, examples, tokenizer))


def answer_questions(
    loaded: LoadedEnsemble,
    questions: RowStream,
    rule: DecisionRule,
    config: Config,
    *,
    folder: Path,
    leaving: ExitPlan | None = None,
    tell: Tell | None = None,
) -> tuple[KeptAnswers, AnswerSummary]:
    """Answer all questions that an earlier call has not answered; the answers are kept in `folder`.

    `leaving` says when no further member is asked; without it all are. `tell` hears how far it is.

    Raises:
        DataError: what is kept there was made otherwise, or the file has changed. StopRequested: somebody asked for it.
    """
    kept = KeptAnswers(folder=folder, made=_made(loaded, questions, rule, config, leaving))
    kept.go_on()
    resumed_after = kept.rows
    for shard in questions.shards():
        examples = shard.examples[max(0, kept.rows - shard.start) :]
        if examples:
            told = _beyond(kept.rows, len(examples), of=questions.rows, tell=tell)
            predictions = _predicted(loaded, PreparedSet(examples, config), leaving, kept=kept, tell=told)
            answers = rule.answers(replace(predictions, origin=origin_of(loaded, config)), config.class_labels)
            asked_N = _members_asked(predictions)
            lines = _lines(examples, answers, config, asked_N=asked_N)
            kept.add(lines, len(examples), _counts(answers, asked=sum(asked_N)))
    return kept, _summary(loaded, questions, rule, config, kept=kept, leaving=leaving, resumed_after=resumed_after)


def csv_of(kept: KeptAnswers) -> Iterator[bytes]:
    """Yield the content of the CSV file: its header, and the lines of all answers."""
    yield (",".join(COLUMNS) + "\n").encode()
    yield from kept.parts()


def _made(
    loaded: LoadedEnsemble, questions: RowStream, rule: DecisionRule, config: Config, leaving: ExitPlan | None
) -> dict[str, Any]:
    """Return what the answers depend on, by words that an error can use."""
    return {
        "data": questions.digest,
        "members": dict(loaded.weights),
        "scales of the members": dict(loaded.scales),
        "base": loaded.base_digest,
        "settings of the prompt": prediction_settings(config),
        "temperature": rule.temperature,
        "certificate": None if rule.certificate is None else asdict(rule.certificate),
        "class names": list(config.class_labels),
        "exit": None
        if leaving is None
        else [leaving.kind, asdict(leaving.rule), [each.folder_name for each in leaving.order]],
    }


def _beyond(before: int, rows: int, *, of: int, tell: Tell | None) -> Tell:
    """Return what hears how far the next rows are, and tells how far all of them are."""

    def told(done: int, all_of_these: int) -> None:
        if tell is not None:
            members = all_of_these // rows
            tell(members * before + done, members * of)

    return told


def _predicted(
    loaded: LoadedEnsemble, prepared: PreparedSet, leaving: ExitPlan | None, *, kept: KeptAnswers, tell: Tell
) -> Predictions:
    """Return what is said to the next questions: by all members, or by those that are asked."""
    if leaving is not None:
        return predict_in_turn(loaded, prepared, leaving.rule, order=leaving.order, tell=tell)
    within = KeptShards(folder=kept.folder / "shard", made={**kept.made, "start": kept.rows})
    predictions = predict_examples(loaded, prepared, tell=tell, kept=within)
    within.clear()
    return predictions


def _members_asked(predictions: Predictions) -> list[int]:
    if predictions.left_out_MN is None:
        return [len(predictions.members)] * len(predictions.ids)
    asked_N: list[int] = predictions.left_out_MN.sum(axis=0).tolist()
    return asked_N


def _exit_in_record(leaving: ExitPlan) -> dict[str, Any]:
    certificate, price = leaving.certificate, leaving.price
    return {
        "kind": leaving.kind,
        "order": [member.folder_name for member in leaving.order],
        "certificate": None if certificate is None else asdict(certificate),
        "on_calibration_rows": None if price is None else asdict(price),
    }


def _lines(examples: list[Example], answers: GivenAnswers, config: Config, *, asked_N: list[int]) -> str:
    template, lines = parse_template(config.prompt_template), io.StringIO(newline="")
    columns = (answers.names, answers.probability_N, answers.scores_N, answers.answered_N, answers.why(), asked_N)
    writer = csv.writer(lines, lineterminator="\n")
    for example, name, probability, score, yes, why, asked in zip(examples, *columns, strict=True):
        numbers = (float(probability), float(score), ANSWERED if yes else ABSTAINED)
        row = (example.id, template.render(example.fields), name, *numbers, why, asked)
        writer.writerow(map(csv_cell, row))
    return lines.getvalue()


def _counts(answers: GivenAnswers, *, asked: int) -> Counts:
    classes = len(answers.class_names)
    predicted_C = np.bincount(answers.prediction_N, minlength=classes).tolist()
    answered_C = np.bincount(answers.prediction_N[answers.answered_N], minlength=classes).tolist()
    counts = {f"predicted {c}": count for c, count in enumerate(predicted_C)}
    counts |= {f"answered {c}": count for c, count in enumerate(answered_C)}
    return {**counts, "asked": asked}


def _summary(
    loaded: LoadedEnsemble,
    questions: RowStream,
    rule: DecisionRule,
    config: Config,
    *,
    kept: KeptAnswers,
    leaving: ExitPlan | None,
    resumed_after: int,
) -> AnswerSummary:
    certificate = rule.certificate
    by_class = {
        kind: {name: kept.counts[f"{kind} {c}"] for c, name in enumerate(config.class_labels)}
        for kind in ("predicted", "answered")
    }
    return AnswerSummary(
        data=str(questions.path.absolute()),
        data_digest=questions.digest,
        rows=kept.rows,
        answered=sum(by_class["answered"].values()),
        predicted_by_class=by_class["predicted"],
        answered_by_class=by_class["answered"],
        score=rule.score,
        threshold=None if certificate is None else certificate.threshold,
        target_risk=None if certificate is None else certificate.target_risk,
        confidence=None if certificate is None else certificate.confidence,
        temperature=rule.temperature,
        members=tuple(member.folder_name for member in loaded.ensemble.members),
        members_asked=kept.counts["asked"] / kept.rows,
        exit=None if leaving is None else _exit_in_record(leaving),
        resumed_after=resumed_after,
    )
