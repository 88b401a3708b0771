"""The smallest `tau` at which leaving early is shown to change few decisions (Learn then Test).

Whether a row's decision changes is a draw of its own, whatever `tau` is: so of n calibration rows the changed ones are
Binomial(n, R), and P(Binomial(n, alpha) <= changed) is an exact p-value of "more than alpha of all decisions change".
The values of `tau` are a grid that was fixed before. They are tested from 1 downwards, at which every member is asked
and nothing changes, each at the whole level, until the first is not rejected (fixed sequence; Angelopoulos et al. 2021,
arXiv:2110.01052). No labels are needed: what counts is what all members together decide.
"""

from dataclasses import dataclass
from math import ceil, log, log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.leaving.asked_in_order import trail_of
from ensemble_uq_llm.statistics.binomial import at_most

TAUS: Final = tuple(step / 50 for step in range(50, -1, -1))
"""From the safest to the boldest; at 1 nobody leaves early."""


@dataclass(frozen=True, kw_only=True)
class ExitCertificate:
    """At most `change_risk` of the decisions on further rows of the calibration rows' kind are changed.

    Of a hundred calibration sets at least so many as `confidence` says give a `tau` that keeps this. It holds for these
    members, asked in their order.
    """

    change_risk: float
    confidence: float
    threshold: float | None
    """That of the certificate of abstention beside it; None where every question is answered."""
    tau: float | None
    """None where the rows are too few to certify anything: then all members are asked."""
    rows: int
    changed: int
    """The calibration rows whose decisions change at `tau`."""


def certify_exit(
    logits_MNC: NDArray[np.floating], *, threshold: float | None, change_risk: float, confidence: float
) -> ExitCertificate:
    """Return the smallest certified `tau`, from calibration rows that all members have predicted.

    Args:
        logits_MNC: in the order in which the members will be asked.
        threshold: answered is where one minus confidence is at most this; None where every question is.
        change_risk: the largest share of changed decisions; above 0 and below 1.
        confidence: how probable it is, over calibration sets, that no more change.
    """
    trail, rows = trail_of(logits_MNC, threshold), logits_MNC.shape[1]
    best: tuple[float | None, int] = (None, 0)
    for tau in TAUS:
        changed = trail.changed(tau)
        if at_most(changed, rows, change_risk) > 1 - confidence:
            break
        best = (tau, changed)
    return ExitCertificate(
        change_risk=change_risk, confidence=confidence, threshold=threshold, tau=best[0], rows=rows, changed=best[1]
    )


def fewest_exit_rows(*, change_risk: float, confidence: float) -> int:
    """Return how many calibration rows are the fewest that can certify anything: no decision changes then."""
    return ceil(log(1 - confidence) / log1p(-change_risk) - 1e-9)
