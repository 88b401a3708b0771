"""Can its confidence be believed: the reliability diagram, and what a temperature would change."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.report.figures.reliability_diagram import reliability_figure
from ensemble_uq_llm.report.sections.in_numbers import noise_floor_in_words
from ensemble_uq_llm.report.source import Metrics, ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, comparison_cell, estimate_cell

_WAYS = (("pooled", "One temperature"), ("per_member", "One a member"))


def calibration(source: ReportSource) -> dict[str, Any] | None:
    """Return the figure and the temperature table; None where nothing is labelled."""
    metrics = source.main
    bins = metrics.get("reliability", {}).get("bins")
    if not bins:
        return None
    ece = metrics["ensemble"]["ece"]
    return {
        "figure": reliability_figure(bins),
        "ece": estimate_cell(ece, ".3f"),
        "floor": noise_floor_in_words(ece, ".3f"),
        "temperature": _temperature(metrics),
        "fitted": metrics.get("temperature", {}).get("calibration"),
        "warning": _warning(metrics.get("temperature", {})),
    }


def _temperature(metrics: Metrics) -> Table | None:
    block = metrics.get("temperature")
    if not block:
        return None
    ways = [(name, title) for name, title in _WAYS if name in block and (name == "pooled" or metrics["members"] > 1)]
    columns = ["Metric", "As it is"]
    for name, title in ways:
        columns += [f"{title}{_value(block[name])}", "Change"]
    rows = []
    for metric in METRICS:
        if metric.name not in block["pooled"]["after"] or not (metric.headline or metric.name == "smooth_ece"):
            continue
        cells = [estimate_cell(metrics["ensemble"].get(metric.name), metric.format)]
        for name, _ in ways:
            cells += _after(block[name], metric.name, metric.format)
        rows.append(Row(title=metric.title, cells=cells))
    return Table(label="Metrics before and after temperature scaling", columns=columns, rows=rows)


def _value(way: Mapping[str, Any]) -> str:
    """Return the temperature, or the range of those of the members."""
    values = list(way["temperatures"].values()) if "temperatures" in way else [way["temperature"]]
    ends = dict.fromkeys(f"{end:.2f}" for end in (min(values), max(values)))
    return f" (T = {' to '.join(ends)})"


def _after(way: Mapping[str, Any], name: str, form: str) -> list[Cell]:
    after, change = way["after"].get(name), way.get("change", {}).get(name)
    return [estimate_cell(after, form), comparison_cell(change, form)]


def _warning(block: Mapping[str, Any]) -> str:
    whose = ["the ensemble"] if block.get("pooled", {}).get("at_bound") else []
    whose += [f"seed {seed}" for seed in block.get("per_member", {}).get("at_bound", [])]
    found = ", ".join(whose)
    return found and f"The best temperature of {found} lies beyond the range searched: add calibration examples."
