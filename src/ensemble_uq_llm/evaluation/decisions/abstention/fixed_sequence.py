"""The largest share of rows that can be answered with a promise, by tests of thresholds in an order fixed beforehand.

Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv:2110.01052): a threshold is certified where the
hypothesis "more than r of the answered are wrong" is rejected, and no wrong hypothesis is rejected but with a
probability of delta.

*One threshold.* Take the score u of the calibration row of rank k + 1 by certainty; the k rows below it are answered.
Whatever u is, these are k independent draws of the rows that score below u, for only their number was fixed: so their
errors are Binomial(k, R), R being the risk of answering all that scores below u, and P(Binomial(k, r) <= errors) is a
p-value. (With the row at u among them it would be none: that row is no free draw.) Equal scores are on one side of u
together, and k is then how many are left below it; the same holds given that number. "All rows" is no random
threshold: its errors are Binomial(n, R).

*Several.* Thresholds are tested from a starting coverage upwards, each at the whole level of its start, until the first
is not rejected (fixed sequence). The first false one is where the risk has risen above r; rows above that place only
add errors, so that its p-value is valid although the scores decide which rank it has. (Proved for a risk that rises
above r once as more is answered, by conditioning on the number of rows below the place; where it rises, falls and rises
again, simulations stand for the proof.) Each start has a share of delta. A start whose thresholds are all certified
hands its share on to the next (Bretz, Maurer, Brannath and Posch 2009, Statistics in Medicine 28:586): whatever is
handed on comes from starts that have no false threshold left, so that the false ones share delta at most.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor
from sys import float_info
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.statistics.binomial import at_most
from ensemble_uq_llm.statistics.ties import ROUNDING

STARTS: Final = (0.1, 0.4, 0.8)
"""The coverages at which sequences begin: few, as a share of delta is handed on upwards; chosen by simulation
(docs/decisions.md), as a low start alone fails by chance and many starts leave little to each."""

STEP: Final = 0.025
"""The coverage between two thresholds of a sequence."""

EVERY_ROW: Final = float_info.max
"""The threshold at which every row is answered: no score is above it, and JSON can hold it."""

_ROUNDING: Final = 1e-9  # so that 0.7 + 3 * 0.025 reaches 0.775


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The calibration rows at or below a threshold."""

    threshold: float
    rows: int
    wrong: int


def largest_answered(
    scores_N: NDArray[np.float64], wrong_N: NDArray[np.bool_], *, target_risk: float, delta: float
) -> Answered | None:
    """Return the certified threshold that answers the most rows; None where none can be certified.

    Args:
        scores_N: of calibration rows; higher is less certain.
        wrong_N: whether the answer is wrong.
        target_risk: the largest share of wrong answers among the answered; above 0 and below 1.
        delta: how probable it may be, over calibration sets, that more are wrong.
    """
    order_N = np.argsort(scores_N, kind="stable")
    sorted_N, errors_N = scores_N[order_N], np.append(0, np.cumsum(wrong_N[order_N]))
    starts = useful_starts(len(scores_N), target_risk=target_risk, delta=delta)
    best, level = None, 0.0
    for ranks in _sequences(len(scores_N), starts):
        level += delta / len(starts)  # and what the start before has handed on
        for rank in ranks:
            threshold = _below(sorted_N, rank)
            rows = int(np.searchsorted(sorted_N, threshold, side="right"))
            if not rows:  # all of these rows score alike: there is nothing to answer, and so no risk
                continue
            tested = Answered(threshold=threshold, rows=rows, wrong=int(errors_N[rows]))
            if at_most(tested.wrong, rows, target_risk) > level:
                level = 0.0
                break
            best = tested
    return best


def fewest_rows(*, target_risk: float, delta: float) -> int:
    """Return how many answered rows are the fewest that can certify anything: none of them is wrong then."""
    return int(np.ceil(np.log(delta) / np.log1p(-target_risk) - _ROUNDING))


def useful_starts(rows: int, *, target_risk: float, delta: float) -> Sequence[float]:
    """Return the starts at which so many rows without an error would be enough, the first ones being left out.

    Of so few rows that only all of them together can be certified, that is the one start; of fewer there is none.

    What cannot be certified whatever the labels are would only waste its share of delta.
    """
    for starts in (*(STARTS[first:] for first in range(len(STARTS))), (1.0,)):
        if rows and at_most(0, _rank(starts[0], rows), target_risk) <= delta / len(starts):
            return starts
    return ()


def _sequences(rows: int, starts: Sequence[float]) -> Iterator[list[int]]:
    """Yield the ranks that each start tests, in rising order: up to the next start, and all rows in the end."""
    for start, end in pairwise([*starts, 1.0 + STEP]):
        steps = floor((end - start) / STEP + 1 - _ROUNDING)
        yield sorted({_rank(start + step * STEP, rows) for step in range(steps)})


def _rank(coverage: float, rows: int) -> int:
    return min(rows, floor(coverage * rows + _ROUNDING))


def _below(sorted_N: NDArray[np.float64], rank: int) -> float:
    """Return the threshold below the score after so many: by more than rounding, so that no last digit decides."""
    if rank == len(sorted_N):
        return EVERY_ROW
    score = float(sorted_N[rank])
    return float(np.nextafter(score - ROUNDING * abs(score), -np.inf))
