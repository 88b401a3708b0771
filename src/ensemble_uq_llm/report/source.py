"""What a report is made from: the metrics of a run's evaluated sets, and beside them its configuration and record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import DataError, IntegrityError
from ensemble_uq_llm.evaluation.files.metrics_json import read_metrics
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.member import by_member
from ensemble_uq_llm.report.training_log import MemberLog, read_training_log
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from ensemble_uq_llm.utils.text import as_word, listed


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportSource:
    """Everything that a report is made from."""

    folder: RunFolder
    sets: Mapping[str, SetMetrics]
    """The evaluated sets by name; the first is the main one, which the others are compared with."""
    config: Config | None
    record: Mapping[str, Any]
    """The content of `run.json`, empty where there is none."""
    training: Mapping[int, MemberLog] = field(default_factory=dict)
    """How the members of the main set learned, by seed; empty where they were not trained here."""

    @property
    def left_out(self) -> Sequence[tuple[str, str]]:
        """The members that training could not make, such as those that diverged, and why."""
        failed = self.record.get("failed")
        reasons = by_member(failed) if isinstance(failed, Mapping) else {}
        there = {member.seed for member in self.main.member_ids}
        return [(member.title, str(why)) for member, why in reasons.items() if member.seed not in there]

    @property
    def name(self) -> str:
        """The name of the main set."""
        return next(iter(self.sets))

    @property
    def main(self) -> SetMetrics:
        """The main set."""
        return self.sets[self.name]

    @property
    def others(self) -> Mapping[str, SetMetrics]:
        """All sets but the main one."""
        return {name: metrics for name, metrics in self.sets.items() if name != self.name}

    @property
    def class_labels(self) -> tuple[str, ...]:
        """How the classes are called: by who gave the predictions, by the configuration if it fits, or by index."""
        classes = self.main.classes
        if self.main.class_names:
            return self.main.class_names
        if self.config is not None and len(self.config.class_labels) == classes:
            return self.config.class_labels
        return tuple(f"class {c}" for c in range(classes))


def read_source(folder: RunFolder) -> ReportSource:
    """Read what a run's report is made from.

    Raises:
        DataError: no set has been evaluated.
        ConfigError: the run's `config.yaml` cannot be used.
        IntegrityError: a metrics JSON or `run.json` is torn or none of ours.
    """
    sets = read_sets(folder)
    main = next(iter(sets.values()))
    record = folder.record() if folder.has(folder.run_record) else {}
    is_log_ours = folder.has(folder.events) or record.get("state") == "training"  # which writes it line by line
    seeds = dict.fromkeys(each.seed for each in main.member_ids) if is_log_ours else {}
    return ReportSource(
        folder=folder,
        sets=sets,
        config=load_config(folder.root) if folder.has(folder.config) else None,
        record=record,
        training=read_training_log(folder.events, seeds),
    )


def read_sets(folder: RunFolder) -> dict[str, SetMetrics]:
    """Read the metrics of the main set and of those evaluated with it, in that order.

    Files of earlier evaluations with other sets are left alone.

    Raises:
        DataError: no set has been evaluated.
        IntegrityError: a file is torn or none of ours, or was made from other predictions than those there are now.
    """
    files = folder.evaluated()
    folder.check_knows(files)
    if not files:
        raise DataError(
            f"{folder.metrics(VALIDATION).parent}: no set has been evaluated; predict one and evaluate the run first"
        )
    main = _find_main(files)
    sets = {main.name: main} | {name: _read_other(folder.metrics(name)) for name in main.other_sets}
    folder.check_up_to_date(map(folder.metrics, sets), remedy=f"evaluate again: ensemble-uq evaluate {as_word(folder)}")
    return sets


def _find_main(files: Sequence[Path]) -> SetMetrics:
    """Return the main set; a file that cannot be read counts only where there is none."""
    unreadable, mains = [], []
    for path in files:
        try:
            metrics = read_metrics(path)
        except IntegrityError as error:
            unreadable.append(error)  # such as what an earlier version left, of a set that is evaluated no more
            continue
        if metrics.role == "main":
            mains.append(metrics)
    if len(mains) > 1:
        names = listed(each.name for each in mains)
        raise IntegrityError(f"{files[0].parent}: there are several main sets, {names}; evaluate one of them again")
    if mains:
        return mains[0]
    if unreadable:
        raise unreadable[0]
    raise IntegrityError(f"{files[0]}: no metrics here are those of a main set; evaluate the run again")


def _read_other(path: Path) -> SetMetrics:
    if not path.exists():
        raise IntegrityError(f"{path}: there is no such file, but it was evaluated with the main set; evaluate again")
    return read_metrics(path)
