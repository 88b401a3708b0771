"""Can its confidence be believed: the reliability diagram, and what a temperature would change."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.quality.metrics import METRICS, Metric
from ensemble_uq_llm.evaluation.records import (
    CalibrationSet,
    ReliabilityBin,
    SetMetrics,
    TemperatureEffect,
    TemperatureScaling,
)
from ensemble_uq_llm.report.figures.reliability_diagram import lowest, reliability_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.formats import noise_floor_in_words
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, comparison_cell, estimate_cell

_SHOWN = tuple(metric for metric in METRICS if metric.headline or metric.name == "smooth_ece")
"""The metrics that are told before and after scaling."""


@dataclass(frozen=True, kw_only=True)
class WithTemperature:
    """What temperatures change, and on which examples they were fitted."""

    fitted: CalibrationSet
    table: Table
    figures: Sequence[Figure]
    """The diagrams after scaling, on the axis of that before."""
    warning: str
    """Names the temperatures that lie at the bound of the search; empty where none does."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """The diagram, its error in words, and what temperatures would change where some were fitted."""

    figure: Figure
    ece: Cell
    floor: str
    temperature: WithTemperature | None
    others: Sequence[Figure]
    """The diagrams of the other labelled sets, on the same axis."""


def confidence(source: ReportSource) -> Confidence | None:
    """Return the figure and what a temperature would change; None where nothing is labelled."""
    metrics, scaling = source.main, source.main.temperature
    if metrics.reliability is None:
        return None
    ece = metrics.ensemble["ece"]
    low = min(lowest(bins) for bins in _all_bins(source))
    return Confidence(
        figure=reliability_figure(metrics.reliability.bins, low=low),
        ece=estimate_cell(ece, ".3f"),
        floor=noise_floor_in_words(ece, ".3f"),
        temperature=_with_temperature(metrics, scaling, low) if scaling else None,
        others=[
            reliability_figure(other.reliability.bins, title=name, low=low)
            for name, other in source.others.items()
            if other.reliability
        ],
    )


def _all_bins(source: ReportSource) -> Iterator[Sequence[ReliabilityBin]]:
    """Yield the bins of every diagram, which share one axis so that they can be compared."""
    scaling = source.main.temperature
    drawn = [metrics.reliability for metrics in source.sets.values()]
    drawn += [scaling.pooled.reliability, scaling.per_member.reliability] if scaling else []
    return (reliability.bins for reliability in drawn if reliability)


def _with_temperature(metrics: SetMetrics, scaling: TemperatureScaling, low: float) -> WithTemperature:
    ways = {"One temperature": scaling.pooled} | ({"One a member": scaling.per_member} if metrics.several else {})
    columns = ["Metric", "As it is"]
    for title, effect in ways.items():
        columns += [f"{title} ({_values(effect)})", "Change"]
    rows = [Row(title=metric.title, cells=_cells(metric, metrics, ways.values())) for metric in _SHOWN]
    table = Table(label="Metrics before and after temperature scaling", columns=columns, rows=rows)
    figures = [
        reliability_figure(effect.reliability.bins, title=f"{title} ({_values(effect)})", low=low)
        for title, effect in ways.items()
        if effect.reliability
    ]
    return WithTemperature(fitted=scaling.calibration, table=table, figures=figures, warning=_warning(scaling))


def _cells(metric: Metric, metrics: SetMetrics, effects: Iterable[TemperatureEffect]) -> list[Cell]:
    cells = [estimate_cell(metrics.ensemble[metric.name], metric.format)]
    for effect in effects:
        cells.append(estimate_cell(effect.after[metric.name], metric.format))
        cells.append(comparison_cell(effect.change[metric.name], metric.format))
    return cells


def _values(effect: TemperatureEffect) -> str:
    """Return the temperature, or the range of those of the members."""
    values = [each.value for each in effect.temperatures]
    ends = dict.fromkeys(f"{end:.2f}" for end in (min(values), max(values)))
    return f"T = {' to '.join(ends)}"


def _warning(scaling: TemperatureScaling) -> str:
    (pooled,), own = scaling.pooled.temperatures, scaling.per_member.temperatures
    whose = ["the ensemble" if len(own) > 1 else "the model"] if pooled.at_bound else []
    whose += [each.member.title for each in own if each.member and each.at_bound and len(own) > 1]
    beyond = f"The best temperature of {', '.join(whose)} lies beyond the range searched: add calibration examples."
    return beyond if whose else ""
