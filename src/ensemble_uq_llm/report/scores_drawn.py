"""Which scores are drawn, in which order and style: first the one that the report recommends, then its rivals."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ensemble_uq_llm.evaluation.records import BestScore, RocCurve
from ensemble_uq_llm.evaluation.scores import BASELINE, OF_DISAGREEMENT
from ensemble_uq_llm.report.figures.roc_figure import RocLine
from ensemble_uq_llm.report.formats import score_title, show_value
from ensemble_uq_llm.statistics.intervals import Estimate

Curve = TypeVar("Curve", bound=Hashable)
Value = TypeVar("Value")

_STYLES: Final = ("best", "second", "third", "fourth")
"""The style sheet's classes of curves, the recommended score's first."""


@dataclass(frozen=True, kw_only=True)
class DrawnScore(Generic[Curve]):
    """The curve of a score, and of those that rank the examples alike."""

    score: str
    title: str
    """What all of them are called."""
    style: str
    curve: Curve


def telling(by_score: Mapping[str, Value], *, several: bool) -> dict[str, Value]:
    """Return what there is of the scores, without those of disagreement where there are not several members."""
    return {score: value for score, value in by_score.items() if several or score not in OF_DISAGREEMENT}


def recommended_first(choice: BestScore | None) -> tuple[str, ...]:
    """Return the score to abstain by, its baseline, and the score of the lowest AURC; the baseline without a choice."""
    return (BASELINE,) if choice is None else (choice.chosen, choice.baseline, choice.best)


def drawn_scores(curves: Mapping[str, Curve], first: Iterable[str]) -> list[DrawnScore[Curve]]:
    """Return at most four different curves: of the scores to be named first, of entropy, and of mutual information.

    Args:
        curves: by score; scores that have none are not drawn.
        first: the scores that come first, in their order.
    """
    scores_by_curve: dict[Curve, list[str]] = {}
    for score in dict.fromkeys((*first, "entropy", "mutual_information")):
        if score in curves:
            scores_by_curve.setdefault(curves[score], []).append(score)
    return [
        DrawnScore(score=scores[0], title=_common_title(scores), style=style, curve=curve)
        for style, (curve, scores) in zip(_STYLES, scores_by_curve.items(), strict=False)
    ]


def roc_lines(curves: Mapping[str, RocCurve], areas: Mapping[str, Estimate], first: Iterable[str]) -> list[RocLine]:
    """Return the ROC curves of the scores that are drawn, each with its AUROC as the tables give it."""
    return [
        RocLine(
            name=each.title,
            style=each.style,
            area=show_value(areas[each.score].value, ".3f"),
            false_positive_rate=each.curve.false_positive_rate,
            true_positive_rate=each.curve.true_positive_rate,
        )
        for each in drawn_scores(curves, first)
    ]


def _common_title(scores: Sequence[str]) -> str:
    first, *others = (score_title(name) for name in scores)
    return f"{first} (the same as {', '.join(title.lower() for title in others)})" if others else first
