"""In numbers: every metric with its interval, and what of it chance alone would show."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.evaluation.quality.brier_split import PARTS as BRIER_PARTS
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, Metric
from ensemble_uq_llm.report.formats import METRIC_BY_NAME
from ensemble_uq_llm.report.source import Metrics, ReportSource
from ensemble_uq_llm.report.tables import (
    CHANCE,
    Cell,
    Row,
    Table,
    comparison_cell,
    estimate_cell,
    interval_cell,
    show_p,
    value_cell,
)
from ensemble_uq_llm.report.terminal import TRUTH_ROWS, UNCERTAINTY_ROWS, UNDEFINED

_BRIER_NOTES = {
    "brier_reliability": "what wrong confidence costs",
    "brier_resolution": "what telling examples apart saves",
    "brier_uncertainty": "what the labels leave to chance",
    "brier_within_bins": "what the bins of the parts above leave out",
}


def numbers(source: ReportSource) -> dict[str, Any]:
    """Return the headline table, the calibration errors, the Brier score's parts, uncertainties and the truth."""
    metrics = source.main
    tables = (_headline(metrics), _calibration(metrics), _brier(metrics), _uncertainty(metrics), _truth(metrics))
    names = ("headline", "calibration", "brier", "uncertainty", "truth")
    return {
        **dict(zip(names, tables, strict=True)),
        "n": metrics["n"],
        "labelled": metrics["labelled"],
        "members": metrics["members"],
        "draws": metrics.get("draws"),
    }


def noise_floor_in_words(estimate: Mapping[str, Any], form: str) -> str:
    """Return what a perfectly calibrated model would show in place of a calibration error; empty if unknown."""
    floor = estimate.get("noise_floor")
    if not floor:
        return ""
    return f"a calibrated model would show {floor['mean']:{form}}, up to {floor['p95']:{form}}"


def _headline(metrics: Metrics) -> Table | None:
    if not metrics["ensemble"]:
        return None
    several = metrics["members"] > 1
    columns = ["Ensemble", "95% interval", "Mean member", "Against the mean member"]
    return Table(
        label="Metrics of the ensemble",
        columns=["Metric", *(columns if several else ["Value", columns[1]])],
        rows=[
            Row(
                title=metric.title,
                note=_note(metric, metrics),
                cells=_headline_cells(metric, metrics)[: 4 if several else 2],
            )
            for metric in HEADLINE
            if metric.name in metrics["ensemble"]
        ],
    )


def _headline_cells(metric: Metric, metrics: Metrics) -> list[Cell]:
    estimate = metrics["ensemble"][metric.name]
    return [
        value_cell(estimate["value"], metric.format, strong=True),
        interval_cell(estimate, metric.format),
        value_cell(metrics["members_mean"].get(metric.name, {}).get("value"), metric.format),
        comparison_cell(metrics.get("gain", {}).get(metric.name, {}).get("over_mean"), metric.format),
    ]


def _calibration(metrics: Metrics) -> Table | None:
    rows = []
    for name, estimate in metrics["ensemble"].items():
        floor = estimate.get("noise_floor")
        if not floor or name not in METRIC_BY_NAME:
            continue
        metric = METRIC_BY_NAME[name]
        cells = [
            estimate_cell(estimate, metric.format, strong=True),
            value_cell(floor["mean"], metric.format),
            value_cell(floor["p95"], metric.format),
            _judged(floor["p_value"]),
        ]
        rows.append(Row(title=metric.title, cells=cells))
    columns = ("Calibration error", "Ensemble", "Chance alone, mean", "Chance alone, up to", "Reading")
    return Table(label="Calibration errors and their noise floors", columns=columns, rows=rows) if rows else None


def _judged(p_value: float | None) -> Cell:
    if p_value is None:
        return Cell(value=UNDEFINED)
    return Cell(value="within chance" if p_value > CHANCE else "more than chance", note=show_p(p_value))


def _brier(metrics: Metrics) -> Table | None:
    ensemble = metrics["ensemble"]
    rows = [
        Row(
            title=METRIC_BY_NAME[name].title,
            note=_BRIER_NOTES.get(name, ""),
            cells=[estimate_cell(ensemble[name], METRIC_BY_NAME[name].format)],
        )
        for name in BRIER_PARTS
        if name in ensemble and name in METRIC_BY_NAME
    ]
    return (
        Table(label="Parts of the Brier score", columns=("Brier score, in parts", "Part"), rows=rows) if rows else None
    )


def _uncertainty(metrics: Metrics) -> Table:
    averages = metrics["uncertainty"]
    rows = [Row(title="Confidence", cells=[value_cell(averages.get("mean_confidence"), ".1%", strong=True)])]
    rows += [
        Row(title=title, cells=[value_cell(averages[name], ".4f", strong=True)]) for name, title in UNCERTAINTY_ROWS
    ]
    return Table(label="Average uncertainties", columns=("Uncertainty", "Average"), rows=rows)


def _truth(metrics: Metrics) -> Table | None:
    if "truth" not in metrics:
        return None
    rows = [
        Row(title=title, cells=[estimate_cell(metrics["truth"][name], form, strong=True)])
        for name, title, form in TRUTH_ROWS
        if name in metrics["truth"]
    ]
    return Table(label="Against the true probabilities", columns=("Against the truth", "Ensemble"), rows=rows)


def _note(metric: Metric, metrics: Metrics) -> str:
    floor = noise_floor_in_words(metrics["ensemble"][metric.name], metric.format)
    return f"{'higher' if metric.higher_is_better else 'lower'} is better{floor and f'; {floor}'}"
