"""On other data: is it answered worse, and does uncertainty notice."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.evaluation.decisions.shift import DETECTION_NUMBERS
from ensemble_uq_llm.report.formats import METRIC_BY_NAME, score_in_text, score_title
from ensemble_uq_llm.report.source import Metrics, ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, show_difference, show_p, value_cell
from ensemble_uq_llm.report.terminal import UNDEFINED

_QUALITY = ("accuracy", "nll", "ece")
_AVERAGES = {"average_entropy": "Mean entropy", "average_mutual_information": "Mean MI"}
_FORMATS = {quantity.name: quantity.format for quantity in DETECTION_NUMBERS}


def shift(source: ReportSource) -> dict[str, Any] | None:
    """Return one row a set, and by quantity how well every score tells the shifted sets from the main one."""
    if not source.others:
        return None
    shifted = {name: metrics["shift"] for name, metrics in source.others.items() if "shift" in metrics}
    return {
        "sets": _sets(source, shifted),
        "detection": [
            (quantity.title, _detection(shifted, quantity.name, quantity.title, quantity.format))
            for quantity in DETECTION_NUMBERS
            if shifted
        ],
        "reference": source.name,
    }


def _sets(source: ReportSource, shifted: Mapping[str, Any]) -> Table:
    judged = _QUALITY if any(metrics["ensemble"] for metrics in source.sets.values()) else ()
    averages = {} if judged else _AVERAGES  # what is left to say where nothing is labelled
    columns = ["Set", *(METRIC_BY_NAME[name].title for name in judged), *averages.values()]
    if shifted:
        columns += ["Best AUROC", "Its FPR95"]
    rows = []
    for name, metrics in source.sets.items():
        cells = [_quality(metrics, metric) for metric in judged]
        cells += [value_cell(metrics["uncertainty"].get(average), ".3f") for average in averages]
        if shifted:
            cells += _best(shifted.get(name, {}))
        rows.append(Row(title=name, note=f"{metrics['n']:,} examples", cells=cells, strong=name == source.name))
    return Table(label="Quality and uncertainty of every set", columns=columns, rows=rows)


def _quality(metrics: Metrics, name: str) -> Cell:
    """Return a metric with its change from the main set as the note; of the main set with its interval."""
    form = METRIC_BY_NAME[name].format
    estimate = metrics["ensemble"].get(name)
    change = metrics.get("shift", {}).get("change", {}).get(name)
    if not estimate or not change or change["value"] is None:
        return estimate_cell(estimate, form)
    chance = "" if change["p_value"] is None else f", {show_p(change['p_value'])}"
    value = value_cell(estimate["value"], form).value
    return Cell(value=value, note=f"{show_difference(change['value'], form)}{chance}")


def _best(block: Mapping[str, Any]) -> list[Cell]:
    score = (block.get("best") or {}).get("score")
    if score is None:
        return [Cell(value=UNDEFINED), Cell(value=UNDEFINED)]
    area, rate = (value_cell(block[name][score]["value"], _FORMATS[name]) for name in ("auroc", "fpr95"))
    return [Cell(value=area.value, note=score_in_text(score), strong=True), rate]


def _detection(shifted: Mapping[str, Any], quantity: str, title: str, form: str) -> Table:
    scores = next(iter(shifted.values()))[quantity]
    best = {name: (block.get("best") or {}).get("score") for name, block in shifted.items()}
    rows = []
    for score in scores:
        cells = [
            estimate_cell(block[quantity].get(score), form, strong=score == best[name])
            for name, block in shifted.items()
        ]
        rows.append(Row(title=score_title(score), cells=cells))
    return Table(label=f"{title} of every score on every shifted set", columns=("Score", *shifted), rows=rows)
