"""In numbers: every metric with its interval, and what of it chance alone would show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import protocol_parts
from ensemble_uq_llm.evaluation.quality.brier_split import PARTS as BRIER_PARTS
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, Metric
from ensemble_uq_llm.evaluation.quality.truth import TRUTH_NUMBERS
from ensemble_uq_llm.evaluation.records import ConstantAnswers, Floor, MetricEstimate, SetMetrics
from ensemble_uq_llm.report.formats import METRIC_BY_NAME, UNCERTAINTY_ROWS, UNDEFINED, noise_floor_in_words
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import (
    Cell,
    Row,
    Table,
    comparison_cell,
    difference_cell,
    estimate_cell,
    interval_cell,
    value_cell,
)
from ensemble_uq_llm.report.words.set_in_words import options_in_words
from ensemble_uq_llm.statistics.significance import p_in_words

_BRIER_NOTES = {
    "brier_reliability": "what wrong confidence costs",
    "brier_resolution": "what telling examples apart saves",
    "brier_uncertainty": "what the labels leave to chance",
    "brier_within_bins": "what the bins of the parts above leave out",
}


@dataclass(frozen=True, kw_only=True)
class InNumbers:
    """The tables of the main set; without labels only that of the uncertainties, and of the truth if it is known."""

    headline: Table | None
    constant: Table | None
    """The ensemble beside answers that are the same for every example."""
    majority: str
    """The class that constant answers would be of; empty without labels."""
    calibration: Table | None
    """The calibration errors beside their noise floors; None without draws, too."""
    brier: Table | None
    uncertainty: Table
    truth: Table | None
    options: str
    """How many options the questions have, of multiple choice."""
    protocol: Sequence[tuple[str, str]]
    """What decides whether other numbers may stand beside these, and what the other sets have otherwise."""


def in_numbers(source: ReportSource) -> InNumbers:
    """Return the headline table, the calibration errors, the Brier score's parts, uncertainties and the truth."""
    metrics = source.main
    return InNumbers(
        headline=_headline(metrics) if metrics.ensemble else None,
        constant=_constant(metrics, metrics.constant_answers) if metrics.constant_answers else None,
        majority=source.class_labels[metrics.constant_answers.majority] if metrics.constant_answers else "",
        calibration=_calibration(metrics),
        brier=_brier(metrics.ensemble) if metrics.ensemble else None,
        uncertainty=_uncertainty(metrics),
        truth=_truth(metrics) if metrics.truth else None,
        options=options_in_words(metrics),
        protocol=list(_protocol(source)),
    )


def _protocol(source: ReportSource) -> Iterator[tuple[str, str]]:
    if source.main.protocol is None:
        return
    own = protocol_parts(source.main.protocol)
    yield from own
    for name, metrics in source.others.items():
        if metrics.protocol is not None:
            yield from (
                (f"{title}, {name}", text)
                for title, text in protocol_parts(metrics.protocol)
                if (title, text) not in own
            )


def _headline(metrics: SetMetrics) -> Table:
    several = ("Ensemble", "95% interval", "Mean member", "Against the mean member")
    columns = several if metrics.several else ("Value", "95% interval")
    rows = [
        Row(title=metric.title, note=_note(metric, metrics), cells=_headline_cells(metric, metrics)[: len(columns)])
        for metric in HEADLINE
    ]
    return Table(label="Metrics of the ensemble", columns=("Metric", *columns), rows=rows)


def _headline_cells(metric: Metric, metrics: SetMetrics) -> list[Cell]:
    estimate, gain = metrics.ensemble[metric.name], metrics.gain.get(metric.name)
    over_mean = gain.over_mean if gain else None
    return [
        value_cell(estimate.value, metric.format, strong=True),
        interval_cell(estimate.ci95, metric.format),
        value_cell(metrics.members_mean[metric.name].value, metric.format),
        comparison_cell(over_mean, metric.format),
    ]


def _note(metric: Metric, metrics: SetMetrics) -> str:
    floor = noise_floor_in_words(metrics.ensemble[metric.name], metric.format)
    return f"{'higher' if metric.higher_is_better else 'lower'} is better{floor and f'; {floor}'}"


def _constant(metrics: SetMetrics, constant: ConstantAnswers) -> Table:
    rows = []
    for name, beside in constant.metrics.items():
        metric = METRIC_BY_NAME[name]
        cells = [
            value_cell(metrics.ensemble[name].value, metric.format, strong=True),
            value_cell(beside.value.value, metric.format),
            difference_cell(beside.gain, metric.format),
        ]
        rows.append(
            Row(title=metric.title, note=f"{'higher' if metric.higher_is_better else 'lower'} is better", cells=cells)
        )
    columns = ("Metric", _whose(metrics), "One answer for all", "Difference")
    return Table(label="Beside answering without looking", columns=columns, rows=rows)


def _whose(metrics: SetMetrics) -> str:
    """Return the title of a column of the pooled answers' numbers; one member's need no name."""
    return "Ensemble" if metrics.several else "Value"


def _calibration(metrics: SetMetrics) -> Table | None:
    rows = []
    for name, estimate in metrics.ensemble.items():
        floor = estimate.noise_floor
        if floor is None or name not in METRIC_BY_NAME or METRIC_BY_NAME[name].same_as:
            continue
        metric = METRIC_BY_NAME[name]
        cells = [
            value_cell(estimate.value, metric.format, strong=True),
            estimate_cell(estimate.debiased, metric.format),
            value_cell(floor.mean, metric.format),
            value_cell(floor.p95, metric.format),
            _judged(floor),
        ]
        rows.append(Row(title=metric.title, cells=cells))
    chance = ("Chance alone, mean", "Chance alone, up to")
    columns = ("Calibration error", _whose(metrics), "Without noise", *chance, "Reading")
    return Table(label="Calibration errors and their noise floors", columns=columns, rows=rows) if rows else None


def _judged(floor: Floor) -> Cell:
    if floor.p_value is None:
        return Cell(value=UNDEFINED, note="too few examples")
    reading = "within chance" if floor.chance_explains else "more than chance"
    return Cell(value=reading, note=p_in_words(floor.p_value, at_floor=floor.at_floor))


def _brier(estimates: Mapping[str, MetricEstimate]) -> Table:
    rows = [
        Row(
            title=METRIC_BY_NAME[name].title,
            note=_BRIER_NOTES[name],
            cells=[estimate_cell(estimates[name], METRIC_BY_NAME[name].format)],
        )
        for name in BRIER_PARTS
    ]
    return Table(label="Parts of the Brier score", columns=("Brier score, in parts", "Part"), rows=rows)


def _uncertainty(metrics: SetMetrics) -> Table:
    averages, shown = metrics.uncertainty, UNCERTAINTY_ROWS if metrics.several else UNCERTAINTY_ROWS[:1]
    rows = [Row(title="Confidence", cells=[value_cell(averages["mean_confidence"], ".1%", strong=True)])]
    rows += [Row(title=title, cells=[value_cell(averages[name], ".4f", strong=True)]) for name, title in shown]
    return Table(label="Average uncertainties", columns=("Uncertainty", "Average"), rows=rows)


def _truth(metrics: SetMetrics) -> Table:
    rows = [
        Row(title=each.title, cells=[estimate_cell(metrics.truth[each.name], each.format, strong=True)])
        for each in TRUTH_NUMBERS
    ]
    return Table(label="Against the true probabilities", columns=("Against the truth", _whose(metrics)), rows=rows)
