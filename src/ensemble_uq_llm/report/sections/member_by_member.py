"""Member by member: the headline metrics of each, below those of the ensemble and their mean."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Row, Table, direction_mark, estimate_cell


def members(source: ReportSource) -> dict[str, Any] | None:
    """Return the table of members; None where nothing is labelled, or where the only one is the ensemble."""
    metrics = source.main
    if not metrics.get("per_member") or metrics["members"] < 2:
        return None
    rows = [
        _row("Ensemble", metrics["ensemble"], strong=True),
        _row("Mean member", metrics["members_mean"]),
        *(_row(f"Seed {member['seed']}", member) for member in metrics["per_member"]),
    ]
    columns = ("", *(f"{metric.title}{direction_mark(metric.higher_is_better)}" for metric in HEADLINE))
    return {"table": Table(label="Metrics of every member", columns=columns, rows=rows)}


def _row(title: str, values: Mapping[str, Any], *, strong: bool = False) -> Row:
    cells = [estimate_cell(values.get(metric.name), metric.format, strong=strong) for metric in HEADLINE]
    return Row(title=title, cells=cells, strong=strong)
