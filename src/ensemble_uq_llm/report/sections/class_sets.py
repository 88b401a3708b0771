"""Sets instead of answers: how often conformal sets hold the right class, and how large they are."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell

_METHODS = {"lac": "LAC", "aps": "APS", "class_conditional": "Class by class"}


def sets(source: ReportSource) -> dict[str, Any] | None:
    """Return the tables; how to get them where there was no calibration set; None where nothing is labelled."""
    metrics = source.main
    if not metrics["labelled"]:
        return None
    block = metrics.get("conformal")
    if not block:
        return {"table": None}
    results = [
        (float(level), method, result)
        for method, levels in block["methods"].items()
        for level, result in levels.items()
    ]
    results.sort(key=lambda each: each[0])  # stable: the methods keep their order within a level
    return {
        "table": _table(results),
        "by_size": _parts(results, "by_size", "Size of the set", lambda part: f"{part['size']}"),
        "by_class": _parts(results, "by_class", "Class", lambda part: source.class_labels[part["class"]]),
        "calibration": block["calibration"],
    }


def _table(results: list[tuple[float, str, Mapping[str, Any]]]) -> Table:
    rows = [
        Row(
            title=f"{level:.0%}",
            note=_METHODS.get(method, method),
            cells=[
                estimate_cell(result["coverage"], ".1%", strong=True),
                Cell(value=_kept(level, result["coverage"])),
                estimate_cell(result["mean_size"], ".2f"),
                value_cell(result["single"], ".1%"),
                value_cell(result["empty"], ".1%"),
            ],
        )
        for level, method, result in results
    ]
    columns = ("Promised", "Holds the right class", "Promise", "Mean size", "One class", "Empty")
    return Table(label="Coverage and size of conformal sets", columns=columns, rows=rows)


def _kept(level: float, coverage: Mapping[str, Any]) -> str:
    if not coverage["ci95"]:
        return ""
    low, high = coverage["ci95"]
    return "missed" if high < level else "exceeded" if low > level else "kept"


def _parts(results: list[tuple[float, str, Mapping[str, Any]]], key: str, title: str, named: Any) -> Table | None:
    rows = [
        Row(
            title=f"{level:.0%}",
            note=_METHODS.get(method, method),
            cells=[
                Cell(value=named(part)),
                Cell(value=f"{part['n']:,}"),
                estimate_cell({"value": part["coverage"], "ci95": part["ci95"]}, ".1%"),
            ],
        )
        for level, method, result in results
        for part in result.get(key, [])
    ]
    columns = ("Promised", title, "Examples", "Holds the right class")
    return Table(label=f"Coverage by {title.lower()}", columns=columns, rows=rows) if rows else None
