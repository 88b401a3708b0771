"""When should it abstain: risk-coverage curves, and how well every score finds the mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.records import BestScore, RiskCoverageCurve, SelectiveScore, SetMetrics
from ensemble_uq_llm.evaluation.scores import BASELINE, Quantity
from ensemble_uq_llm.report.figures.risk_coverage import Curve, risk_coverage_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.formats import score_title
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Row, Table, direction_mark, estimate_cell

_STYLES = ("best", "second", "third", "fourth")
_SHOWN_FIRST = ("aurc", "augrc", "risk_at_coverage_80", "risk_at_coverage_90", "risk_at_coverage_95", "error_auroc")


@dataclass(frozen=True, kw_only=True)
class WhenToAbstain:
    """The curves with their legend, the sentence which score to use, and two tables of every score."""

    figure: Figure | None
    """None where there are too few examples for a curve."""
    legend: Sequence[tuple[str, str]]
    """Style and name of every curve."""
    answer: str
    table: Table
    more: Table
    """Shown folded."""


def when_to_abstain(source: ReportSource) -> WhenToAbstain | None:
    """Return what every score is worth for abstention; None where nothing is labelled."""
    metrics, choice = source.main, source.main.best_score
    if choice is None:
        return None
    curves = _curves(metrics, choice)
    first = [quantity for quantity in SELECTIVE_NUMBERS if quantity.name in _SHOWN_FIRST]
    rest = [quantity for quantity in SELECTIVE_NUMBERS if quantity.name not in _SHOWN_FIRST]
    return WhenToAbstain(
        figure=risk_coverage_figure(curves) if curves else None,
        legend=[(curve.style, curve.name) for curve in curves],
        answer=choice.answer,
        table=_table(metrics, choice, first, label="Scores at selective prediction"),
        more=_table(metrics, choice, rest, label="Scores at selective prediction, further numbers"),
    )


def _curves(metrics: SetMetrics, choice: BestScore) -> list[Curve]:
    """Return at most four curves, the best first; scores that rank the examples alike share one."""
    names_by_curve: dict[RiskCoverageCurve, list[str]] = {}
    for name in dict.fromkeys((choice.best, BASELINE, "entropy", "mutual_information")):
        curve = metrics.selective[name].curve
        if len(curve.risk) > 1:
            names_by_curve.setdefault(curve, []).append(name)
    return [
        Curve(name=_common_name(names), style=style, coverage=curve.coverage, risk=curve.risk)
        for style, (curve, names) in zip(_STYLES, names_by_curve.items(), strict=False)
    ]


def _common_name(scores: Sequence[str]) -> str:
    first, *others = (score_title(name) for name in scores)
    return f"{first} (the same as {', '.join(title.lower() for title in others)})" if others else first


def _table(metrics: SetMetrics, choice: BestScore, quantities: Sequence[Quantity], *, label: str) -> Table:
    rows = [_row(name, score, choice, quantities) for name, score in metrics.selective.items()]
    columns = ["Score", *(f"{each.title}{direction_mark(each.higher_is_better)}" for each in quantities)]
    return Table(label=label, columns=columns, rows=rows)


def _row(name: str, score: SelectiveScore, choice: BestScore, quantities: Sequence[Quantity]) -> Row:
    return Row(
        title=score_title(name),
        note="best AURC" if name == choice.best else "baseline" if name == BASELINE else "",
        cells=[estimate_cell(score.numbers[each.name], each.format) for each in quantities],
        strong=name == choice.best,
    )
