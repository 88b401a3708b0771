"""Entropy against mutual information, a mark an example: right answers are dots, wrong ones crosses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from markupsafe import Markup

from ensemble_uq_llm.report.figures.log_scale import few_digits, form_of, scale_between
from ensemble_uq_llm.report.figures.svg import (
    LEFT,
    RIGHT,
    Figure,
    Key,
    axis_x,
    axis_y,
    cross,
    dot,
    figure,
)

_TOP, _BOTTOM = 30, 270
_MARKS: Final[dict[str, Callable[[float, float], Markup]]] = {
    "correct": lambda x, y: dot("point correct", x, y, 2),
    "unlabelled": lambda x, y: dot("point unlabelled", x, y, 2.5),
    "wrong": lambda x, y: cross("point wrong", x, y, 2.5),
}
"""From the lowest layer to the highest: the wrong answers are the fewest."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Some examples of one kind."""

    name: str
    style: str
    """`correct`, `wrong` or `unlabelled`."""
    n: int
    """How many examples are of this kind."""
    entropy: Sequence[float]
    mutual_information: Sequence[float]


def scatter_figure(
    clouds: Sequence[Cloud], *, entropy: tuple[float, float], mutual_information: tuple[float, float]
) -> Figure:
    """Draw a mark for every example; each axis is given by its ends, and logarithmic if it begins above 0."""
    x, y = scale_between(*entropy, LEFT, RIGHT), scale_between(*mutual_information, _BOTTOM, _TOP)
    layers = sorted(clouds, key=lambda cloud: list(_MARKS).index(cloud.style))
    parts = [
        axis_y(y, form_of(y), title="mutual information (nats)"),
        *(
            _MARKS[cloud.style](x(total), y(epistemic))
            for cloud in layers
            for total, epistemic in zip(cloud.entropy, cloud.mutual_information, strict=True)
        ),
        axis_x(x, _BOTTOM, form_of(x), title="entropy (nats)"),
    ]
    said = "; ".join(f"{cloud.name}: {_in_words(cloud)}" for cloud in clouds)
    return figure(
        parts,
        title="Entropy and mutual information",
        height=_BOTTOM + 42,
        alternative=f"Entropy against mutual information, a mark an example. {said}.",
        legend=[Key(symbol=_MARKS[cloud.style](14, 4), name=_shown(cloud)) for cloud in clouds],
    )


def _shown(cloud: Cloud) -> str:
    shown = len(cloud.entropy)
    return f"{cloud.name} ({cloud.n:,})" if shown == cloud.n else f"{cloud.name} ({shown:,} of {cloud.n:,})"


def _in_words(cloud: Cloud) -> str:
    values = (few_digits(median(values)) for values in (cloud.entropy, cloud.mutual_information))
    return "{} shown, median entropy {}, median mutual information {}".format(f"{len(cloud.entropy):,}", *values)
