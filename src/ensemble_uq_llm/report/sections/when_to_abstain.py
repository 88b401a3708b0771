"""When should it abstain: risk-coverage curves, and how well every score finds the mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.records import BestScore, SelectiveScore, SetMetrics
from ensemble_uq_llm.evaluation.scores import Quantity
from ensemble_uq_llm.report.figures.risk_coverage import Curve, risk_coverage_figure
from ensemble_uq_llm.report.figures.roc_figure import roc_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.formats import score_title
from ensemble_uq_llm.report.scores_drawn import drawn_scores, recommended_first, roc_lines, telling
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.tables import Row, Table, direction_mark, estimate_cell

_SHOWN_FIRST = ("aurc", "augrc", "risk_at_coverage_80", "risk_at_coverage_90", "risk_at_coverage_95", "error_auroc")


@dataclass(frozen=True, kw_only=True)
class WhenToAbstain:
    """The curves, the sentence which score to use, and two tables of every score."""

    figure: Figure | None
    """None where there are too few examples for a curve."""
    banded: bool
    """Whether its first curve has a band."""
    roc: Figure | None
    """None where all answers are right, or none."""
    answer: str
    table: Table
    more: Table
    """Shown folded."""


def when_to_abstain(source: ReportSource) -> WhenToAbstain | None:
    """Return what every score is worth for abstention; None where nothing is labelled."""
    metrics, choice = source.main, source.main.best_score
    if choice is None:
        return None
    metrics = replace(metrics, selective=telling(metrics.selective, several=metrics.several))
    curves = _curves(metrics, choice)
    first = [quantity for quantity in SELECTIVE_NUMBERS if quantity.name in _SHOWN_FIRST]
    rest = [quantity for quantity in SELECTIVE_NUMBERS if quantity.name not in _SHOWN_FIRST]
    return WhenToAbstain(
        figure=risk_coverage_figure(curves) if curves else None,
        banded=bool(curves and curves[0].high),
        roc=_roc(metrics, choice),
        answer=choice.answer,
        table=_table(metrics, choice, first, label="Scores at selective prediction"),
        more=_table(metrics, choice, rest, label="Scores at selective prediction, further numbers"),
    )


def _curves(metrics: SetMetrics, choice: BestScore) -> list[Curve]:
    """Return at most four curves, that of the recommended score first."""
    curves = {name: score.curve for name, score in metrics.selective.items() if len(score.curve.risk) > 1}
    return [
        Curve(
            name=each.title,
            style=each.style,
            coverage=each.curve.coverage,
            risk=each.curve.risk,
            low=each.curve.low,
            high=each.curve.high,
        )
        for each in drawn_scores(curves, recommended_first(choice))
    ]


def _roc(metrics: SetMetrics, choice: BestScore) -> Figure | None:
    curves = {name: score.roc for name, score in metrics.selective.items() if score.roc}
    areas = {name: score.numbers["error_auroc"] for name, score in metrics.selective.items()}
    lines = roc_lines(curves, areas, recommended_first(choice))
    if not lines:
        return None
    return roc_figure(
        lines,
        title="Finding the wrong answers",
        found="share of the wrong answers found",
        mistaken="share of the right answers taken for them",
    )


def _table(metrics: SetMetrics, choice: BestScore, quantities: Sequence[Quantity], *, label: str) -> Table:
    aurc = {name: score.numbers[choice.criterion].value for name, score in metrics.selective.items()}
    # Not always `choice.best`, which is sought among the scores that are really better where there are any.
    lowest = min(aurc, key=lambda name: (aurc[name] is None, aurc[name]))
    rows = [_row(name, score, choice, quantities, lowest=lowest) for name, score in metrics.selective.items()]
    columns = ["Score", *(f"{each.title}{direction_mark(each.higher_is_better)}" for each in quantities)]
    return Table(label=label, columns=columns, rows=rows)


def _row(name: str, score: SelectiveScore, choice: BestScore, quantities: Sequence[Quantity], *, lowest: str) -> Row:
    notes = {"recommended": choice.chosen, "baseline": choice.baseline, "lowest AURC": lowest}
    return Row(
        title=score_title(name),
        note=", ".join(note for note, score in notes.items() if score == name),
        cells=[estimate_cell(score.numbers[each.name], each.format) for each in quantities],
        strong=name == choice.chosen,
    )
