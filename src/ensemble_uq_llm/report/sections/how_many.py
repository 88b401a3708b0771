"""Do I need them all: metrics of smaller ensembles, and how much the members differ."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, Metric
from ensemble_uq_llm.report.figures.by_size import SizeCurve, size_curve_figure
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell
from ensemble_uq_llm.report.terminal import UNDEFINED

_SHOWN_FIRST = ("nll", "accuracy")
_DIVERSITY = {
    "disagreement": ("Different answers", "share of examples on which two members answer differently", ".1%"),
    "error_correlation": ("Correlation of errors", "1 where two members are wrong on the same examples", ".3f"),
}


def size(source: ReportSource) -> dict[str, Any] | None:
    """Return a curve a metric, the answer in words, and the diversity; None of a single member."""
    block = source.main.get("size_curve")
    if not block or source.main["members"] < 2:
        return None
    figures = {
        metric.name: size_curve_figure(curve, enough=block["enough"])
        for metric in HEADLINE
        if (curve := _curve(metric, block)) is not None
    }
    return {
        "answer": block.get("answer"),
        "first": [figures[name] for name in _SHOWN_FIRST if name in figures],
        "rest": [figure for name, figure in figures.items() if name not in _SHOWN_FIRST],
        "diversity": _diversity(source.main.get("diversity") or {}),
    }


def _curve(metric: Metric, block: Mapping[str, Any]) -> SizeCurve | None:
    values = block["metrics"].get(metric.name)
    if not values or None in (*values["mean"], *values["p5"], *values["p95"]):
        return None
    return SizeCurve(
        title=metric.title,
        form=metric.format,
        sizes=block["sizes"],
        mean=values["mean"],
        low=values["p5"],
        high=values["p95"],
    )


def _diversity(block: Mapping[str, Any]) -> Table | None:
    rows = []
    for name, (title, note, form) in _DIVERSITY.items():
        if name in block:
            values = block[name]
            ends = [_pair(values[end], form) for end in ("min", "max")]
            rows.append(Row(title=title, note=note, cells=[estimate_cell(values["mean"], form, strong=True), *ends]))
    columns = ("Between two members", "Mean of all pairs", "Least", "Most")
    return Table(label="How much the members differ", columns=columns, rows=rows) if rows else None


def _pair(pair: Mapping[str, Any] | None, form: str) -> Cell:
    """Return the number of two members, with their seeds as the note."""
    if pair is None:
        return Cell(value=UNDEFINED)
    return Cell(value=value_cell(pair["value"], form).value, note="seeds {} and {}".format(*pair["seeds"]))
