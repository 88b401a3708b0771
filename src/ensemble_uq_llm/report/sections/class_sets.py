"""Sets instead of answers: how often conformal sets hold the right class, and how large they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.records import CalibrationSet, ConformalSets, GroupCoverage
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell
from ensemble_uq_llm.statistics.intervals import Estimate

_METHODS = {"lac": "LAC", "aps": "APS", "class_conditional": "Class by class"}


@dataclass(frozen=True, kw_only=True)
class ClassSets:
    """What was fitted on which examples, and its tables; nothing of it without calibration examples."""

    fitted: CalibrationSet | None = None
    table: Table | None = None
    by_size: Table | None = None
    by_class: Table | None = None


def class_sets(source: ReportSource) -> ClassSets | None:
    """Return the tables of all methods and levels; None where nothing is labelled."""
    if not source.main.labelled:
        return None
    conformal = source.main.conformal
    if conformal is None:
        return ClassSets()
    results = [(method, sets) for method, levels in conformal.methods.items() for sets in levels.values()]
    results.sort(key=lambda result: result[1].level)  # stable: the methods keep their order within a level
    labels = source.class_labels
    return ClassSets(
        fitted=conformal.calibration,
        table=_table(results),
        by_size=_by_group(results, "Size of the set", lambda sets: sets.by_size, str),
        by_class=_by_group(results, "Class", lambda sets: sets.by_class, lambda c: labels[c]),
    )


def _table(results: Sequence[tuple[str, ConformalSets]]) -> Table:
    rows = [
        Row(
            title=f"{sets.level:.0%}",
            note=_METHODS.get(method, method),
            cells=[
                estimate_cell(sets.coverage, ".1%", strong=True),
                Cell(value=_kept(sets.level, sets.coverage)),
                estimate_cell(sets.mean_size, ".2f"),
                value_cell(sets.single, ".1%"),
                value_cell(sets.empty, ".1%"),
            ],
        )
        for method, sets in results
    ]
    columns = ("Promised", "Holds the right class", "Promise", "Mean size", "One class", "Empty")
    return Table(label="Coverage and size of conformal sets", columns=columns, rows=rows)


def _kept(level: float, coverage: Estimate) -> str:
    if coverage.ci95 is None:
        return ""
    low, high = coverage.ci95
    return "missed" if high < level else "exceeded" if low > level else "kept"


def _by_group(
    results: Sequence[tuple[str, ConformalSets]],
    title: str,
    groups_of: Callable[[ConformalSets], Sequence[GroupCoverage]],
    named: Callable[[int], str],
) -> Table:
    rows = [
        Row(
            title=f"{sets.level:.0%}",
            note=_METHODS.get(method, method),
            cells=[
                Cell(value=named(each.group)),
                Cell(value=f"{each.n:,}"),
                estimate_cell(Estimate(value=each.coverage, ci95=each.ci95), ".1%"),
            ],
        )
        for method, sets in results
        for each in groups_of(sets)
    ]
    columns = ("Promised", title, "Examples", "Holds the right class")
    return Table(label=f"Coverage by {title.lower()}", columns=columns, rows=rows)
