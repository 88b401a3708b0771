"""Do I need them all: metrics of smaller ensembles, and how much the members differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, Metric
from ensemble_uq_llm.evaluation.records import Pair, PairwiseNumber, SizeCurve
from ensemble_uq_llm.report.figures.by_size import MetricBySize, size_curve_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.formats import UNDEFINED
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell

_SHOWN_FIRST = ("nll", "accuracy")
_DIVERSITY = {
    "disagreement": ("Different answers", "share of examples on which two members answer differently", ".1%"),
    "error_correlation": ("Correlation of errors", "1 where two members are wrong on the same examples", ".3f"),
}


@dataclass(frozen=True, kw_only=True)
class HowMany:
    """The answer in words, a curve a metric, and how much the members differ."""

    answer: str
    first: Sequence[Figure]
    rest: Sequence[Figure]
    """Shown folded."""
    diversity: Table | None


def how_many(source: ReportSource) -> HowMany | None:
    """Return what fewer members would do; None of a single member, and where nothing is labelled."""
    curve = source.main.size_curve
    if curve is None:
        return None
    figures = {
        metric.name: size_curve_figure(by_size, enough=curve.enough)
        for metric in HEADLINE
        if (by_size := _by_size(metric, curve)) is not None
    }
    return HowMany(
        answer=curve.answer,
        first=[figures[name] for name in _SHOWN_FIRST if name in figures],
        rest=[figure for name, figure in figures.items() if name not in _SHOWN_FIRST],
        diversity=_diversity(source.main.diversity),
    )


def _by_size(metric: Metric, curve: SizeCurve) -> MetricBySize | None:
    """Return what is drawn of a metric; None where it is undefined for some size."""
    summary = curve.metrics[metric.name]
    defined = [[value for value in values if value is not None] for values in (summary.mean, summary.p5, summary.p95)]
    if any(len(values) < len(curve.sizes) for values in defined):
        return None
    mean, low, high = defined
    return MetricBySize(title=metric.title, form=metric.format, sizes=curve.sizes, mean=mean, low=low, high=high)


def _diversity(numbers: Mapping[str, PairwiseNumber]) -> Table | None:
    rows = []
    for name, (title, note, form) in _DIVERSITY.items():
        if name in numbers:
            number = numbers[name]
            mean = estimate_cell(number.mean, form, strong=True)
            rows.append(Row(title=title, note=note, cells=[mean, _pair(number.min, form), _pair(number.max, form)]))
    columns = ("Between two members", "Mean of all pairs", "Least", "Most")
    return Table(label="How much the members differ", columns=columns, rows=rows) if rows else None


def _pair(pair: Pair | None, form: str) -> Cell:
    """Return the number of two members, and as the note who they are."""
    if pair is None:
        return Cell(value=UNDEFINED)
    a, b = pair.members
    who = f"{a.title} and {b.title}" if a.sample or b.sample else f"seeds {a.seed} and {b.seed}"
    return Cell(value=value_cell(pair.value, form).value, note=who)
