"""Sets instead of answers: how often conformal sets hold the right class, and how large they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.records import CalibrationSet, ConformalSets, GroupCoverage, Promise
from ensemble_uq_llm.report.formats import show_interval
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell
from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.utils.text import enumerated

_METHODS = {"lac": "LAC", "aps": "APS", "class_conditional": "Class by class"}


@dataclass(frozen=True, kw_only=True)
class ClassSets:
    """What was fitted on which examples, and its tables; nothing of it without calibration examples."""

    fitted: CalibrationSet | None = None
    table: Table | None = None
    by_size: Table | None = None
    by_class: Table | None = None
    two_classes: bool = False
    """Whether a set can name no more than one answer, both, or none."""
    empty: bool = False
    """Whether some rule leaves sets empty."""


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
        table=_table(results, labels),
        by_size=_by_group(results, "Size of the set", lambda sets: sets.by_size, str),
        by_class=_by_group(results, "Class", lambda sets: sets.by_class, lambda c: labels[c]),
        two_classes=source.main.classes == 2,
        empty=any(sets.empty for _, sets in results),
    )


def _table(results: Sequence[tuple[str, ConformalSets]], labels: Sequence[str]) -> Table:
    rows = [
        Row(
            title=f"{sets.level:.0%}",
            note=_METHODS.get(method, method),
            cells=[
                estimate_cell(sets.coverage, ".1%", strong=True),
                _judged(sets, labels),
                estimate_cell(sets.mean_size, ".2f"),
                value_cell(sets.single, ".1%"),
                value_cell(sets.empty, ".1%"),
            ],
        )
        for method, sets in results
    ]
    columns = ("Promised", "Holds the right class", "Promise", "Mean size", "One class", "Empty")
    return Table(label="Coverage and size of conformal sets", columns=columns, rows=rows)


def _judged(sets: ConformalSets, labels: Sequence[str]) -> Cell:
    """Return whether the promise was kept; as the note what rules made alike cover, or which classes break it."""
    breaking = [each for each in sets.by_class if each.promise and each.promise.verdict == sets.promise.verdict]
    if sets.promise.verdict in ("missed", "exceeded") and breaking:
        return Cell(value=sets.promise.verdict, note=f"for {enumerated([labels[each.group] for each in breaking])}")
    return _promise_cell(sets.promise)


def _promise_cell(promise: Promise) -> Cell:
    expected = promise.expected95
    note = f"{show_interval(expected, '.1%')} is usual" if expected else ""
    return Cell(value=promise.verdict, note=note)


def _by_group(
    results: Sequence[tuple[str, ConformalSets]],
    title: str,
    groups_of: Callable[[ConformalSets], Sequence[GroupCoverage]],
    named: Callable[[int], str],
) -> Table:
    judged = any(each.promise for _, sets in results for each in groups_of(sets))
    rows = [
        Row(
            title=f"{sets.level:.0%}",
            note=_METHODS.get(method, method),
            cells=[
                Cell(value=named(each.group)),
                Cell(value=f"{each.n:,}"),
                estimate_cell(Estimate(value=each.coverage, ci95=each.ci95), ".1%"),
                *([_promise_cell(each.promise) if each.promise else Cell(value="")] if judged else []),
            ],
        )
        for method, sets in results
        for each in groups_of(sets)
    ]
    columns = ("Promised", title, "Examples", "Holds the right class", *(["Promise"] if judged else []))
    return Table(label=f"Coverage by {title.lower()}", columns=columns, rows=rows)
