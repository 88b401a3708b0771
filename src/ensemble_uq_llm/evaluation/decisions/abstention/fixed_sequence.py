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
again, simulations stand for the proof.) There are several starts, and each has an equal share of delta (Bonferroni).

A sequence could hand its share on to the next where it certifies all of its thresholds, and would answer a little more.
It does not: what people see is not the risk but the wrong answers among further rows, which chance scatters as well.
With a share of delta for each start these, too, exceed r in fewer than delta of the cases (docs/decisions.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log, log1p
from sys import float_info
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.statistics.binomial import at_most
from ensemble_uq_llm.statistics.ties import ROUNDING

STARTS: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""The coverages at which sequences begin: low ones for low risks, high ones for few rows."""

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
    best = None
    for ranks in _sequences(len(scores_N)):
        for rank in ranks:
            threshold = _below(sorted_N, rank)
            rows = int(np.searchsorted(sorted_N, threshold, side="right"))
            if not rows:  # all of these rows score alike: there is nothing to answer, and so no risk
                continue
            tested = Answered(threshold=threshold, rows=rows, wrong=int(errors_N[rows]))
            if at_most(tested.wrong, rows, target_risk) > delta / len(STARTS):
                break
            best = tested
    return best


def fewest_rows(*, target_risk: float, delta: float) -> int:
    """Return how many answered rows are the fewest that can certify anything: none of them is wrong then."""
    return ceil(log(delta / len(STARTS)) / log1p(-target_risk) - _ROUNDING)


def _sequences(rows: int) -> Iterator[list[int]]:
    """Yield the ranks that each start tests, in rising order: up to the next start, and all rows in the end.

    Beyond the next start the sequence of that one goes on, at the same level.
    """
    for start, end in pairwise([*STARTS, 1.0 + STEP]) if rows else ():
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
