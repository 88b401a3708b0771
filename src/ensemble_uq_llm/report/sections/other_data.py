"""On other data: is it answered worse, and does uncertainty notice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.decisions.shift import DETECTION_NUMBERS
from ensemble_uq_llm.evaluation.records import SetMetrics, Shift
from ensemble_uq_llm.evaluation.scores import Quantity
from ensemble_uq_llm.report.figures.roc_figure import roc_figure
from ensemble_uq_llm.report.figures.svg import Figure, shortened
from ensemble_uq_llm.report.formats import (
    METRIC_BY_NAME,
    UNDEFINED,
    score_in_text,
    score_title,
    show_difference,
)
from ensemble_uq_llm.report.scores_drawn import recommended_first, roc_lines
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell
from ensemble_uq_llm.statistics.significance import p_in_words
from ensemble_uq_llm.utils.text import counted

_QUALITY = ("accuracy", "nll", "ece")
_AVERAGES = {"average_entropy": "Mean entropy", "average_mutual_information": "Mean MI"}
_FORMATS = {quantity.name: quantity.format for quantity in DETECTION_NUMBERS}


@dataclass(frozen=True, kw_only=True)
class OtherData:
    """One row a set, and a table for every number of how well a score tells the shifted sets from the main one."""

    sets: Table
    detection: Sequence[tuple[str, Table]]
    """By the titles of the numbers; empty where the other sets are no shifts."""
    roc: Sequence[Figure]
    """Of finding the examples of each set that is compared with the main one."""


def other_data(source: ReportSource) -> OtherData | None:
    """Return how the other sets are answered and noticed; None where there is none."""
    if not source.others:
        return None
    shifted = {name: metrics.shift for name, metrics in source.others.items() if metrics.shift}
    detection = [(quantity.title, _detection(shifted, quantity)) for quantity in DETECTION_NUMBERS if shifted]
    roc = [_roc(source, name, shift) for name, shift in shifted.items() if shift.roc]
    return OtherData(sets=_sets(source, shifted), detection=detection, roc=roc)


def _roc(source: ReportSource, name: str, shift: Shift) -> Figure:
    return roc_figure(
        roc_lines(shift.roc, shift.numbers["auroc"], recommended_first(source.main.best_score)),
        title=name,
        found=f"share of {shortened(name)} found",
        mistaken=f"share of {shortened(source.name)} taken for it",
    )


def _sets(source: ReportSource, shifted: Mapping[str, Shift]) -> Table:
    judged = _QUALITY if any(metrics.ensemble for metrics in source.sets.values()) else ()
    averages = {} if judged else _AVERAGES  # what is left to say where nothing is labelled
    columns = ["Set", *(METRIC_BY_NAME[name].title for name in judged), *averages.values()]
    if shifted:
        columns += ["Best AUROC", "Its FPR95"]
    rows = []
    for name, metrics in source.sets.items():
        cells = [_quality(metrics, metric) for metric in judged]
        cells += [value_cell(metrics.uncertainty[average], ".3f") for average in averages]
        if shifted:
            cells += _best(shifted.get(name))
        rows.append(Row(title=name, note=counted(metrics.n, "example"), cells=cells, strong=name == source.name))
    return Table(label="Quality and uncertainty of every set", columns=columns, rows=rows)


def _quality(metrics: SetMetrics, name: str) -> Cell:
    """Return a metric with its change from the main set as the note; of the main set with its interval."""
    form, estimate = METRIC_BY_NAME[name].format, metrics.ensemble.get(name)
    change = metrics.shift.change.get(name) if metrics.shift else None
    if estimate is None or change is None or change.value is None:
        return estimate_cell(estimate, form)
    chance = "" if change.p_value is None else f", {p_in_words(change.p_value, at_floor=change.at_floor)}"
    value = value_cell(estimate.value, form).value
    return Cell(value=value, note=f"{show_difference(change.value, form)}{chance}")


def _best(shift: Shift | None) -> list[Cell]:
    if shift is None or shift.best is None:
        return [Cell(value=UNDEFINED), Cell(value=UNDEFINED)]
    score = shift.best.score
    area, rate = (value_cell(shift.numbers[name][score].value, _FORMATS[name]) for name in ("auroc", "fpr95"))
    return [Cell(value=area.value, note=score_in_text(score), strong=True), rate]


def _detection(shifted: Mapping[str, Shift], quantity: Quantity) -> Table:
    scores = next(iter(shifted.values())).numbers[quantity.name]
    rows = []
    for score in scores:
        cells = [
            estimate_cell(
                shift.numbers[quantity.name].get(score),
                quantity.format,
                strong=shift.best is not None and score == shift.best.score,
            )
            for shift in shifted.values()
        ]
        rows.append(Row(title=score_title(score), cells=cells))
    label = f"{quantity.title} of every score on every shifted set"
    return Table(label=label, columns=("Score", *shifted), rows=rows)
