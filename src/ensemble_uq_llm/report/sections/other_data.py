"""On other data: is it answered worse, and does uncertainty notice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.decisions.shift import DETECTION_NUMBERS
from ensemble_uq_llm.evaluation.records import Seen, SetMetrics, Shift
from ensemble_uq_llm.evaluation.scores import BASELINE, Quantity
from ensemble_uq_llm.report.figures.roc_figure import roc_figure
from ensemble_uq_llm.report.figures.svg import Figure, shortened
from ensemble_uq_llm.report.formats import (
    METRIC_BY_NAME,
    UNDEFINED,
    score_in_text,
    score_title,
    show_difference,
)
from ensemble_uq_llm.report.scores_drawn import roc_lines, telling
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell
from ensemble_uq_llm.report.words.findings_in_words import other_findings_in_words
from ensemble_uq_llm.report.words.shift_in_words import shift_in_words
from ensemble_uq_llm.statistics.significance import p_in_words
from ensemble_uq_llm.utils.text import counted

_QUALITY = ("accuracy", "nll", "ece")
_AVERAGES = {"average_entropy": "Mean entropy", "average_mutual_information": "Mean MI"}
_READINGS: Mapping[Seen, str] = {
    "less_sure": "less sure of it",
    "surer": "surer of it",
    "unclear": "not told apart",
    "too_few": "too few examples",
}
_FORMATS = {quantity.name: quantity.format for quantity in DETECTION_NUMBERS}


@dataclass(frozen=True, kw_only=True)
class OtherData:
    """One row a set, and a table for every number of how well a score tells the other sets from the main one."""

    sets: Table
    judged_by: str
    """The score that is judged, chosen before any data were seen; empty where nothing is compared."""
    sentences: Sequence[str]
    """What may be concluded, and what the other sets' own numbers say."""
    detection: Sequence[tuple[str, Table]]
    """By the titles of the numbers; empty where the sets are not compared."""
    roc: Sequence[Figure]
    """Of finding the examples of each set that is compared with the main one."""


def other_data(source: ReportSource) -> OtherData | None:
    """Return how the other sets are answered and noticed; None where there is none."""
    if not source.others:
        return None
    compared = {name: metrics.shift for name, metrics in source.others.items() if metrics.shift}
    detection = [
        (quantity.title, _detection(compared, quantity, several=source.main.several))
        for quantity in DETECTION_NUMBERS
        if compared
    ]
    return OtherData(
        sets=_sets(source, compared),
        judged_by=score_in_text(next(iter(compared.values())).detection.score) if compared else "",
        sentences=[*shift_in_words(source.others), *other_findings_in_words(source.others, source.class_labels)],
        detection=detection,
        roc=[_roc(source, name, shift) for name, shift in compared.items() if shift.roc],
    )


def _roc(source: ReportSource, name: str, shift: Shift) -> Figure:
    return roc_figure(
        roc_lines(
            telling(shift.roc, several=source.main.several), shift.numbers["auroc"], (shift.detection.score, BASELINE)
        ),
        title=name,
        found=f"share of {shortened(name)} found",
        mistaken=f"share of {shortened(source.name)} taken for it",
    )


def _sets(source: ReportSource, compared: Mapping[str, Shift]) -> Table:
    judged = _QUALITY if any(metrics.ensemble for metrics in source.sets.values()) else ()
    averages = {} if judged else _AVERAGES  # what is left to say where nothing is labelled
    columns = ["Set", *(METRIC_BY_NAME[name].title for name in judged), *averages.values()]
    if judged:
        columns.insert(2, "Commonest class")
    if compared:
        columns += ["AUROC", "FPR95", "Reading"]
    rows = []
    for name, metrics in source.sets.items():
        cells = [_quality(metrics, metric) for metric in judged]
        if judged:
            cells.insert(1, _commonest(metrics))
        cells += [value_cell(metrics.uncertainty[average], ".3f") for average in averages]
        if compared:
            cells += _detected(compared.get(name))
        rows.append(Row(title=name, note=_kind(metrics), cells=cells, strong=name == source.name))
    return Table(label="Quality and uncertainty of every set", columns=columns, rows=rows)


def _kind(metrics: SetMetrics) -> str:
    kinds = {"main": "", "shifted": ", shifted", "other": ", other data" if metrics.shift else ""}
    return f"{counted(metrics.n, 'example')}{kinds[metrics.role]}"


def _commonest(metrics: SetMetrics) -> Cell:
    """Return the accuracy of always answering the commonest class of the set."""
    if metrics.constant_answers is None:
        return Cell(value=UNDEFINED)
    return value_cell(metrics.constant_answers.metrics["accuracy"].value.value, ".1%")


def _quality(metrics: SetMetrics, name: str) -> Cell:
    """Return a metric with its change from the main set as the note; of the main set with its interval."""
    form, estimate = METRIC_BY_NAME[name].format, metrics.ensemble.get(name)
    change = metrics.shift.change.get(name) if metrics.shift else None
    if estimate is None or change is None or change.value is None:
        return estimate_cell(estimate, form)
    chance = "" if change.p_value is None else f", {p_in_words(change.p_value, at_floor=change.at_floor)}"
    value = value_cell(estimate.value, form).value
    return Cell(value=value, note=f"{show_difference(change.value, form)}{chance}")


def _detected(shift: Shift | None) -> list[Cell]:
    """Return what the score chosen beforehand says of a set, and what may be concluded from it."""
    if shift is None:
        return [Cell(value=UNDEFINED)] * 3
    found = shift.detection
    area, rate = (estimate_cell(shift.numbers[name].get(found.score), _FORMATS[name]) for name in ("auroc", "fpr95"))
    adjusted = "" if found.p_holm is None else p_in_words(found.p_holm)
    return [area, Cell(value=rate.value), Cell(value=_READINGS[found.seen], note=adjusted)]


def _detection(compared: Mapping[str, Shift], quantity: Quantity, *, several: bool) -> Table:
    scores = telling(next(iter(compared.values())).numbers[quantity.name], several=several)
    rows = []
    for score in scores:
        cells = [
            estimate_cell(
                shift.numbers[quantity.name].get(score),
                quantity.format,
                strong=score == shift.detection.score,
            )
            for shift in compared.values()
        ]
        rows.append(Row(title=score_title(score), cells=cells))
    label = f"{quantity.title} of every score on every other set"
    return Table(label=label, columns=("Score", *compared), rows=rows)
