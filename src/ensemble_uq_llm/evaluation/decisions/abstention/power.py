"""How many calibration rows would certify something, where there are too few: an estimate, from those that are there.

Larger calibration sets are drawn from the rows with replacement, as if these were the whole world, and certified each.
The risk by coverage that the rows show is itself uncertain, and so is the number: it is a plan, no promise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import STARTS, fewest_rows, largest_answered

ENOUGH: Final = 0.8
"""How many of the drawn sets have to be certified for their size to do."""

DRAWN: Final = 100
"""Sets of each size."""

MOST_ROWS: Final = 100_000
"""Larger sets are not tried: nobody labels so many rows for a threshold."""


@dataclass(frozen=True, kw_only=True)
class PowerPoint:
    """What calibration sets of one size are estimated to give."""

    rows: int
    certified: float
    """The share of the drawn sets with a certified threshold."""
    coverage: float
    """The mean share of rows that it answers, 0 where there is none."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """What larger calibration sets are estimated to give, by their size."""

    fewest: int
    """Fewer rows cannot certify anything, were none of them answered wrongly."""
    points: tuple[PowerPoint, ...]

    @property
    def enough(self) -> int | None:
        """The first size of which most sets are certified; None where none of those that were tried is."""
        return next((point.rows for point in self.points if point.certified >= ENOUGH), None)


def power_curve(
    scores_N: NDArray[np.float64], wrong_N: NDArray[np.bool_], *, target_risk: float, delta: float, seed: int = 0
) -> PowerCurve:
    """Return what calibration sets of growing size are estimated to give, up to the first that does.

    Args:
        scores_N: of the rows that are there, at least one.
        wrong_N: whether the answer is wrong.
        target_risk: the promise.
        delta: how probable it may be to break it.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    fewest = fewest_rows(target_risk=target_risk, delta=delta)
    points: list[PowerPoint] = []
    sizes = _sizes(max(fewest, len(scores_N)))
    for rows in sizes if _can_do(scores_N, wrong_N, target_risk=target_risk) else ():
        coverages = []
        for _ in range(DRAWN):
            drawn = rng.integers(len(scores_N), size=rows)
            found = largest_answered(scores_N[drawn], wrong_N[drawn], target_risk=target_risk, delta=delta)
            coverages.append(0.0 if found is None else found.rows / rows)
        certified = float(np.mean([coverage > 0 for coverage in coverages]))
        points.append(PowerPoint(rows=rows, certified=certified, coverage=float(np.mean(coverages))))
        if certified >= ENOUGH:
            break
    return PowerCurve(fewest=fewest, points=tuple(points))


def _can_do(scores_N: NDArray[np.float64], wrong_N: NDArray[np.bool_], *, target_risk: float) -> bool:
    """Tell whether any share of the rows that is tested looks good enough, as it is with endless rows of this kind."""
    errors_N = np.cumsum(wrong_N[np.argsort(scores_N, kind="stable")])
    first = int(STARTS[0] * len(scores_N))
    return bool((errors_N / np.arange(1, len(errors_N) + 1))[first:].min() < target_risk)


def _sizes(first: int) -> Sequence[int]:
    """Return the sizes to try, each about half again as large as the one before, in round numbers."""
    sizes, size = [], float(first)
    while size <= MOST_ROWS:
        digits = 10 ** max(0, len(str(int(size))) - 2)
        sizes.append(int(-(-size // digits)) * digits)
        size *= 1.5
    return sizes
