"""What a report is made from: the metrics JSONs of a run, and beside them its configuration and record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import DataError, IntegrityError
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder

Metrics: TypeAlias = Mapping[str, Any]
"""The content of a metrics JSON."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportSource:
    """Everything that a report is made from."""

    folder: RunFolder
    sets: Mapping[str, Metrics]
    """The evaluated sets by name; the first is the main one, which the others are compared with."""
    config: Config | None
    record: Mapping[str, Any]
    """The content of `run.json`, empty where there is none."""

    @property
    def name(self) -> str:
        """The name of the main set."""
        return next(iter(self.sets))

    @property
    def main(self) -> Metrics:
        """The main set."""
        return self.sets[self.name]

    @property
    def others(self) -> Mapping[str, Metrics]:
        """All sets but the main one."""
        return {name: metrics for name, metrics in self.sets.items() if name != self.name}

    @property
    def class_labels(self) -> tuple[str, ...]:
        """How the classes are called: by the configuration if it fits, else by their index."""
        classes = self.main["classes"]
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
    return ReportSource(
        folder=folder,
        sets=read_metrics(folder),
        config=load_config(folder.config) if folder.config.exists() else None,
        record=_read_object(folder.run_record) if folder.run_record.exists() else {},
    )


def read_metrics(folder: RunFolder) -> dict[str, Metrics]:
    """Read the metrics JSONs of the main set and of those evaluated with it, in that order.

    Files of earlier evaluations with other sets are left alone.

    Raises:
        DataError: no set has been evaluated.
        IntegrityError: a file is torn or none of ours.
    """
    place = folder.metrics(VALIDATION).parent
    files = sorted(place.glob("[!.]*.json"))
    if not files:
        raise DataError(f"{place}: no set has been evaluated; predict one and evaluate the run first")
    everything = [_read_object(path) for path in files]
    main = next((metrics for metrics in everything if metrics.get("role") == "main"), None)
    if main is None:
        raise IntegrityError(f"{files[0]}: no metrics here are those of a main set; evaluate the run again")
    others = {name: _read_set(folder.metrics(name)) for name in main["other_sets"]}
    return {main["name"]: main, **others}


def _read_set(path: Path) -> Metrics:
    if not path.exists():
        raise IntegrityError(f"{path}: there is no such file, but it was evaluated with the main set; evaluate again")
    metrics = _read_object(path)
    if not {"name", "role", "classes"} <= set(metrics):
        raise IntegrityError(f"{path}: these metrics have no name and role; evaluate the run again")
    return metrics


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path}: this is no JSON ({error}); restore it or delete it") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path}: this is no JSON object; restore it or delete it")
    return content
