"""Do I need them all: metrics of smaller ensembles, and how much the members differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ensemble_uq_llm.evaluation.members.added_member import SLIGHT
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, Metric
from ensemble_uq_llm.evaluation.records import Pair, PairwiseNumber, SizeCurve
from ensemble_uq_llm.report.figures.by_size import MetricBySize, size_curve_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.formats import UNDEFINED, show_difference
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Cell, Row, Table, estimate_cell, value_cell
from ensemble_uq_llm.statistics.intervals import Comparison
from ensemble_uq_llm.statistics.significance import p_in_words

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
    added: Table | None
    """What each further member changes."""
    diversity: Table | None


def how_many(source: ReportSource) -> HowMany | None:
    """Return what fewer members would do; None of a single member, and where nothing is labelled."""
    curve = source.main.size_curve
    if curve is None:
        return None
    figures = {
        metric.name: size_curve_figure(by_size, mark=_mark(metric, curve))
        for metric in HEADLINE
        if (by_size := _by_size(metric, curve)) is not None
    }
    return HowMany(
        answer=curve.answer,
        first=[figures[name] for name in _SHOWN_FIRST if name in figures],
        rest=[figure for name, figure in figures.items() if name not in _SHOWN_FIRST],
        added=_added(curve),
        diversity=_diversity(source.main.diversity),
    )


def _mark(metric: Metric, curve: SizeCurve) -> tuple[int, str] | None:
    """Return from where on a further member is next to nothing, on the one metric of which that is known."""
    if metric.name != "nll" or curve.slight_from is None:
        return None
    return curve.slight_from, f"from here less than {SLIGHT} each"


def _added(curve: SizeCurve) -> Table | None:
    """Return one row for each size after the first: what one of its members changed, with intervals."""
    shown = [metric for metric in HEADLINE if metric.name in curve.added]
    rows = []
    for k, (size, following) in enumerate(pairwise(curve.sizes)):
        title = f"{size} to {following}" if following == size + 1 else f"{size} to {following}, each"
        rows.append(Row(title=title, cells=[_change(curve.added[metric.name][k], metric.format) for metric in shown]))
    columns = ("One member more", *(metric.title for metric in shown))
    return Table(label="What each further member changes", columns=columns, rows=rows) if rows and shown else None


def _change(change: Comparison, form: str) -> Cell:
    if change.value is None:
        return Cell(value=UNDEFINED)
    ends = [show_difference(end, form).removesuffix(" points") for end in change.ci95 or ()]
    parts = [" to ".join(ends)] if ends else []
    if change.p_value is not None:
        parts.append(p_in_words(change.p_value, at_floor=change.at_floor))
    return Cell(value=show_difference(change.value, form), note="; ".join(parts))


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
