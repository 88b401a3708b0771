"""Class by class: how common each is, how often it is right, and which is taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ensemble_uq_llm.evaluation.records import ByClass, SetMetrics
from ensemble_uq_llm.report.formats import METRIC_BY_NAME, direction, show_value
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell

MOST_IN_FULL: Final = 8
"""Of more classes the matrix gives way to the largest confusions, and the table of every class is folded."""

_CONFUSIONS = 10
_LONGEST_NAME = 40


@dataclass(frozen=True, kw_only=True)
class ClassByClass:
    """The tables of the main set's classes."""

    means: Table
    """What weighs every class alike."""
    classes: Table
    folded: bool
    """Whether there are so many classes that the table is opened only by who asks."""
    matrix: Table | None
    """None of many classes."""
    confusions: Table | None
    """The largest, of many classes; None where the matrix shows all, or nothing is confused."""


def class_by_class(source: ReportSource) -> ClassByClass | None:
    """Return how each class fares; None where nothing is labelled."""
    metrics, by_class = source.main, source.main.by_class
    if by_class is None:
        return None
    names = [_short(name) for name in source.class_labels]
    few = metrics.classes <= MOST_IN_FULL
    return ClassByClass(
        means=_means(metrics),
        classes=_classes(by_class, names),
        folded=not few,
        matrix=_matrix(by_class.matrix, names) if few and by_class.matrix else None,
        confusions=None if few or not by_class.largest_confusions else _confusions(by_class, names),
    )


def _means(metrics: SetMetrics) -> Table:
    shown = [METRIC_BY_NAME[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")]
    cells = [estimate_cell(metrics.ensemble.get(metric.name), metric.format, strong=True) for metric in shown]
    columns = ["", *(f"{metric.title} {direction(metric.higher_is_better)}" for metric in shown)]
    return Table(
        label="Means over classes",
        columns=columns,
        rows=[Row(title="Ensemble" if metrics.several else "Single member", cells=cells)],
    )


def _classes(by_class: ByClass, names: Sequence[str]) -> Table:
    rows = [
        Row(
            title=name,
            cells=[
                Cell(value=f"{each.n:,}", note=f"{each.share:.1%}"),
                Cell(value=f"{each.answered:,}"),
                *(estimate_cell(estimate, ".1%") for estimate in (each.precision, each.recall, each.f1)),
            ],
        )
        for name, each in zip(names, by_class.classes, strict=True)
    ]
    columns = ("Class", "Labelled", "Answered", "Precision ↑", "Recall ↑", "F1 ↑")
    return Table(label="Every class", columns=columns, rows=rows)


def _matrix(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Table:
    rows = [
        Row(
            title=name,
            cells=[
                Cell(
                    value=f"{n:,}", note=show_value(n / sum(counts) if sum(counts) else None, ".1%"), strong=c == label
                )
                for c, n in enumerate(counts)
            ],
        )
        for label, (name, counts) in enumerate(zip(names, matrix, strict=True))
    ]
    return Table(label="Confusion matrix", columns=["Label", *(f"answered {name}" for name in names)], rows=rows)


def _confusions(by_class: ByClass, names: Sequence[str]) -> Table:
    rows = [
        Row(
            title=f"{names[each.label]} taken for {names[each.answer]}",
            cells=[
                Cell(value=f"{each.n:,}"),
                Cell(value=f"{each.n / by_class.classes[each.label].n:.1%}"),
            ],
        )
        for each in by_class.largest_confusions[:_CONFUSIONS]
    ]
    return Table(label="The largest confusions", columns=("Confusion", "Examples", "Of the class"), rows=rows)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
