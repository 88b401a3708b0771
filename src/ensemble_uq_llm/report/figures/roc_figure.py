"""ROC curves: what share of the sought examples a score finds, by what share of the others it takes for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble_uq_llm.report.figures.svg import (
    LEFT,
    RIGHT,
    Figure,
    Scale,
    axis_x,
    axis_y,
    figure,
    line,
    line_key,
    path,
)

_TOP, _BOTTOM = 30, 270


@dataclass(frozen=True, kw_only=True)
class RocLine:
    """The curve of a score, or of several that rank the examples alike."""

    name: str
    style: str
    """The style sheet's class, which gives its colour and dashes."""
    area: str
    """Its AUROC, as it is shown."""
    false_positive_rate: Sequence[float]
    true_positive_rate: Sequence[float]


def roc_figure(lines: Sequence[RocLine], *, title: str, found: str, mistaken: str) -> Figure:
    """Draw the curves over the diagonal that a score without knowledge follows.

    Args:
        lines: at least one; the first is drawn on top.
        title: of the figure.
        found: what the upright axis counts.
        mistaken: what the level axis counts.
    """
    x, y = Scale(0.0, 1.0, LEFT, RIGHT), Scale(0.0, 1.0, _BOTTOM, _TOP)
    parts = [
        axis_y(y, ".0%", title=found),
        line("diagonal", x(0), y(0), x(1), y(1)),
        *(
            path(
                f"curve {each.style}",
                [(x(a), y(b)) for a, b in zip(each.false_positive_rate, each.true_positive_rate, strict=True)],
            )
            for each in reversed(lines)
        ),
        axis_x(x, _BOTTOM, ".0%", title=mistaken),
    ]
    said = "; ".join(f"{each.name}: AUROC {each.area}" for each in lines)
    return figure(
        parts,
        title=title,
        height=_BOTTOM + 42,
        alternative=f"ROC curves: {found} by {mistaken}. {said}.",
        legend=[
            *(line_key(f"curve {each.style}", f"{each.name}, AUROC {each.area}") for each in lines),
            line_key("diagonal", "A score that knows nothing"),
        ],
    )
