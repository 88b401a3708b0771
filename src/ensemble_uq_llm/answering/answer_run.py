"""Questions of a file answered by a run: what is refused before any work, and where the answers are written."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, IntegrityError, StorageError
from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule
from ensemble_uq_llm.evaluation.files.run_exit import exit_of_run
from ensemble_uq_llm.evaluation.files.run_rule import rule_of_run
from ensemble_uq_llm.predictions.freshness import weights_of
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.places import check_can_be_written, check_is_file_or_nothing
from ensemble_uq_llm.utils.files import atomic_path, write_json
from ensemble_uq_llm.utils.provenance import with_stage
from ensemble_uq_llm.utils.text import as_word

if TYPE_CHECKING:
    from rich.console import Console

    from ensemble_uq_llm.evaluation.decisions.leaving.exit_plan import ExitKind, ExitPlan
    from ensemble_uq_llm.inference.answer_stream import AnswerSummary
    from ensemble_uq_llm.inference.kept_answers import KeptAnswers
    from ensemble_uq_llm.models.logits import Tell


@dataclass(frozen=True, kw_only=True)
class AnswersAsked:
    """Which questions are to be answered, and with which promise."""

    data: Path
    target_risk: float | None = None
    confidence: float | None = None
    exit: "ExitKind | None" = None
    """When no further member is asked; None asks all of them."""
    exit_changes: float = 0.01
    """The largest share of decisions that a certified exit may change."""
    exit_confidence: float = 0.9
    name: str | None = None
    """What the answers are called; as the file where this is None."""
    output: Path | None = None
    """Where they are written; into the run where this is None."""

    @property
    def called(self) -> str:
        """The name under which they are kept."""
        return self.data.stem if self.name is None else self.name


def answer_run(
    config: Config, asked: AnswersAsked, *, console: "Console | None" = None
) -> "tuple[Path, AnswerSummary]":
    """Answer the questions of a file, going on after what an interrupted call has left; return where and how.

    On a `console` the progress is shown.

    Raises:
        ConfigError: a name or place cannot be used, or no member is trained.
        DataError: a row cannot be used; there is no certificate for the risk, or it is of other members; or what an
            interrupted call has left was made otherwise.
        IntegrityError: a member, the base or `decision.json` is not as it was written.
    """
    folder = RunFolder(config.output_dir)
    place = _place(folder, asked)
    rule = rule_of_run(folder, target_risk=asked.target_risk, confidence=asked.confidence)
    _check_members(folder, config, rule)
    leaving = _leaving(folder, config, rule, asked)

    from ensemble_uq_llm.inference.answer_stream import answer_questions, checked_questions
    from ensemble_uq_llm.inference.members import load_members

    questions = checked_questions(config, asked.data)
    started = time.monotonic()
    with folder.owned("answer"):
        loaded = load_members(config)
        kept_in = folder.kept_shards(asked.called, "answers")
        with _shown(console, asked.called, questions.rows, len(loaded.ensemble.members)) as tell:
            kept, summary = answer_questions(
                loaded, questions, rule, config, folder=kept_in, leaving=leaving, tell=tell
            )
        if asked.output is not None:
            _write(place, kept)
        else:
            _write_into_run(folder, asked.called, kept, summary, seconds=time.monotonic() - started)
        _clear(kept)
    return place, summary


def _place(folder: RunFolder, asked: AnswersAsked) -> Path:
    """Return where the answers go; what cannot be named or written is refused before any work."""
    try:
        inside = folder.answers(asked.called)
    except ConfigError as error:
        raise ConfigError(f"{asked.data}: {error}; give one with --name") from None
    if asked.output is None:
        return inside
    if asked.output.absolute() == asked.data.absolute() or (
        asked.output.exists() and asked.data.exists() and asked.output.samefile(asked.data)
    ):
        raise ConfigError(f"--output {asked.output}: the file of the questions themselves; name another")
    homes = [each for each in asked.output.absolute().parents[:2] if RunFolder(each).manifest.exists()]
    if homes:
        raise ConfigError(
            f"--output {asked.output}: in {homes[0]}, a folder whose files are recorded; name a place elsewhere, or "
            f"leave --output out to have {inside.relative_to(folder.root)} in {as_word(folder)}"
        )
    check_can_be_written(asked.output.parent)
    check_is_file_or_nothing(asked.output)
    return asked.output


def _leaving(folder: RunFolder, config: Config, rule: DecisionRule, asked: AnswersAsked) -> "ExitPlan | None":
    """Return when members are asked no more, if that is wanted."""
    if asked.exit is None or not folder.members_of(config.member_seeds):  # loading says that there are none
        return None
    return exit_of_run(
        folder,
        rule,
        asked.exit,
        seeds=config.member_seeds,
        change_risk=asked.exit_changes,
        confidence=asked.exit_confidence,
    )


def _check_members(folder: RunFolder, config: Config, rule: DecisionRule) -> None:
    """Refuse a decision of other members than the run's own; where there are none, loading them says so."""
    members = folder.members_of(config.member_seeds)
    if members:
        origin = Origin(weights=weights_of(folder, members), base="", data="")
        rule.check_made_by(members, origin, classes=config.num_labels)


@contextmanager
def _shown(console: "Console | None", name: str, rows: int, members: int) -> "Iterator[Tell | None]":
    if console is None:
        yield None
        return
    from ensemble_uq_llm.inference.prediction_display import PredictionDisplay

    with PredictionDisplay(console, name=name, examples=rows, members=members) as display:
        yield display


def _write(path: Path, kept: "KeptAnswers") -> None:
    from ensemble_uq_llm.inference.answer_stream import csv_of

    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(csv_of(kept))


def _write_into_run(
    folder: RunFolder, name: str, kept: "KeptAnswers", summary: "AnswerSummary", *, seconds: float
) -> None:
    record = with_stage(
        folder.record(), "answer", seconds=seconds, name=name, examples=summary.rows, data_digest=summary.data_digest
    )
    members = folder.members()
    with folder.change() as change:
        new = RunFolder(change.root)
        new.answers(name).parent.mkdir(parents=True, exist_ok=True)
        _write(new.answers(name), kept)
        write_json(new.answers(name, ".json"), asdict(summary))
        write_json(new.run_record, record)
        own = [folder.member_weights(member) for member in members if member.folder_name in summary.members]
        made_from = {"base": kept.made["base"], "data": summary.data_digest, **folder.digests(own)}
        for path in (folder.answers(name), folder.answers(name, ".json")):
            change.binds(path, made_from)


def _clear(kept: "KeptAnswers") -> None:
    try:
        kept.clear()
    except (IntegrityError, StorageError) as error:  # the answers are there
        warnings.warn(f"{error}; the answers are written", stacklevel=3)
