"""When should it abstain: risk-coverage curves, and how well every score finds the mistakes."""

from collections.abc import Sequence
from typing import Any

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.scores import BASELINE, Quantity
from ensemble_uq_llm.report.figures.risk_coverage import Curve, risk_coverage_figure
from ensemble_uq_llm.report.formats import score_title
from ensemble_uq_llm.report.source import Metrics, ReportSource
from ensemble_uq_llm.report.tables import Row, Table, direction_mark, estimate_cell

_STYLES = ("best", "second", "third", "fourth")
_SHOWN_FIRST = ("aurc", "augrc", "risk_at_coverage_80", "risk_at_coverage_90", "risk_at_coverage_95", "error_auroc")


def abstention(source: ReportSource) -> dict[str, Any] | None:
    """Return the curves, the sentence which score to use, and the tables; None where nothing is labelled."""
    metrics = source.main
    if not metrics.get("selective"):
        return None
    curves = _curves(metrics)
    shown = [quantity for quantity in SELECTIVE_NUMBERS if quantity.name in _SHOWN_FIRST]
    rest = [quantity for quantity in SELECTIVE_NUMBERS if quantity.name not in _SHOWN_FIRST]
    return {
        "figure": risk_coverage_figure(curves) if curves else None,
        "legend": [(curve.style, curve.name) for curve in curves],
        "answer": metrics.get("best_score", {}).get("answer"),
        "table": _table(metrics, shown, label="Scores at selective prediction"),
        "more": _table(metrics, rest, label="Scores at selective prediction, further numbers"),
    }


def _curves(metrics: Metrics) -> list[Curve]:
    """Return at most four curves, the best first; scores that rank the examples alike share one."""
    best = metrics.get("best_score", {}).get("best", BASELINE)
    names_by_curve: dict[tuple[Any, ...], list[str]] = {}
    for name in dict.fromkeys((best, BASELINE, "entropy", "mutual_information")):
        curve = metrics["selective"].get(name, {}).get("curve")
        if curve and len(curve["risk"]) > 1:
            names_by_curve.setdefault((*curve["coverage"], *curve["risk"]), []).append(name)
    return [
        Curve(name=_listed(names), style=style, **metrics["selective"][names[0]]["curve"])
        for style, names in zip(_STYLES, names_by_curve.values(), strict=False)
    ]


def _listed(names: Sequence[str]) -> str:
    first, *others = (score_title(name) for name in names)
    return f"{first} (the same as {', '.join(title.lower() for title in others)})" if others else first


def _table(metrics: Metrics, quantities: Sequence[Quantity], *, label: str) -> Table:
    best = metrics.get("best_score", {}).get("best")
    rows = [
        Row(
            title=score_title(name),
            note="best AURC" if name == best else "baseline" if name == BASELINE else "",
            cells=[estimate_cell(values.get(quantity.name), quantity.format) for quantity in quantities],
            strong=name == best,
        )
        for name, values in metrics["selective"].items()
    ]
    columns = ["Score", *(f"{each.title}{direction_mark(each.higher_is_better)}" for each in quantities)]
    return Table(label=label, columns=columns, rows=rows)
