"""Member by member: the headline metrics of each, below those of the ensemble and their mean."""

from collections.abc import Mapping

from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Row, Table, direction_mark, estimate_cell, value_cell
from ensemble_uq_llm.statistics.intervals import Estimate


def member_by_member(source: ReportSource) -> Table | None:
    """Return the table of members; None where nothing is labelled, or where the only one is the ensemble."""
    metrics = source.main
    if not metrics.per_member or not metrics.several:
        return None
    means = [value_cell(metrics.members_mean[metric.name].value, metric.format) for metric in HEADLINE]
    rows = [
        _row("Ensemble", metrics.ensemble, strong=True),
        Row(title="Mean member", cells=means),
        *(_row(each.member.title.capitalize(), each.metrics) for each in metrics.per_member),
    ]
    columns = ("", *(f"{metric.title}{direction_mark(metric.higher_is_better)}" for metric in HEADLINE))
    return Table(label="Metrics of every member", columns=columns, rows=rows)


def _row(title: str, estimates: Mapping[str, Estimate], *, strong: bool = False) -> Row:
    cells = [estimate_cell(estimates[metric.name], metric.format, strong=strong) for metric in HEADLINE]
    return Row(title=title, cells=cells, strong=strong)
