"""What the benchmark has left of a task: metrics that the package measured, comparisons, and times."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_uq_llm.evaluation.files.metrics_json import read_metrics
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from real.passages import NEW, SHIFTED
from real.plans import Plan
from real.stages import ZERO_SHOT, Places


@dataclass(frozen=True, kw_only=True)
class EnsembleResults:
    """One ensemble on one task."""

    metrics: SetMetrics
    against: dict[str, dict[str, Any]]
    """What `compare --json` printed, by baseline."""
    mean_member: dict[str, Any]
    """As `mean_member` writes it; empty where that was not done."""
    record: dict[str, Any]
    """Its `run.json`."""
    protocol: str | None = None
    """The sentence of the metrics JSON, where there is one."""


@dataclass(frozen=True, kw_only=True)
class TaskResults:
    """Everything of one task; parts that were not run are absent."""

    plan: Plan
    ensembles: dict[str, EnsembleResults] = field(default_factory=dict)
    """By head."""
    zero_shot: SetMetrics | None = None
    majority: SetMetrics | None = None
    guessing: dict[str, float] | None = None
    shifts: dict[str, dict[str, SetMetrics]] = field(default_factory=dict)
    """By who answered, then by set, the one that the others are compared with first."""
    cpu: str | None = None


def read_task(out: Path, plan: Plan) -> TaskResults:
    """Read what there is of a task."""
    places = Places(folder=out / plan.task)
    ensembles = {head: _ensemble(places, head) for head in plan.heads if _measured(places.run(head))}
    cpus = [_object(path).get("cpu") for path in sorted((out / "parts").glob(f"{plan.task}_*_run.json"))]
    return TaskResults(
        plan=plan,
        ensembles=ensembles,
        zero_shot=_metrics(places.run(ZERO_SHOT), VALIDATION),
        majority=_metrics(places.majority_evaluated, places.majority.stem),
        guessing=_object(places.guessing) or None,
        shifts={who: found for who in (*plan.heads, ZERO_SHOT) if (found := _shift(places.shift(who)))},
        cpu=next(iter(cpus), None),
    )


def _ensemble(places: Places, head: str) -> EnsembleResults:
    folder = RunFolder(places.run(head))
    return EnsembleResults(
        metrics=read_metrics(folder.metrics(VALIDATION)),
        against={name: _object(places.against(head, name)) for name in (ZERO_SHOT, "majority")},
        mean_member=_object(places.mean_member(head)),
        record=folder.record(),
        protocol=_object(folder.metrics(VALIDATION)).get("protocol_line"),
    )


def _shift(folder: Path) -> dict[str, SetMetrics]:
    found = {name: _metrics(folder, name) for name in (NEW, *SHIFTED)}
    return {name: metrics for name, metrics in found.items() if metrics is not None}


def _measured(folder: Path) -> bool:
    return RunFolder(folder).metrics(VALIDATION).exists()


def _metrics(folder: Path, name: str) -> SetMetrics | None:
    path = RunFolder(folder).metrics(name)
    return read_metrics(path) if path.exists() else None


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; an empty one where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
