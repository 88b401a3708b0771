"""What leaving early does, seen on rows that all members have predicted: who is asked, and which decisions change."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import FIRST, ExitRule, certainty
from ensemble_uq_llm.evaluation.scores import OF_DISAGREEMENT, uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, log_softmax, measure_uncertainty
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.correlation import rank_correlation
from ensemble_uq_llm.statistics.intervals import Interval

NOTHING = -1
"""The decision to answer nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trail:
    """What would be decided about N rows after each of M members, and how surely."""

    decision_MN: NDArray[np.int64]
    certainty_MN: NDArray[np.float64]
    """As of a certified exit; infinite after the last member, below 0 before the first at which anyone leaves."""

    def changed(self, tau: float) -> int:
        """Return how many rows are left with another decision than that of all members."""
        left_MN = self.certainty_MN > tau
        left_at_N = left_MN.argmax(axis=0)
        decision_N = np.take_along_axis(self.decision_MN, left_at_N[None], axis=0)[0]
        return int((decision_N != self.decision_MN[-1]).sum())


def trail_of(logits_MNC: NDArray[np.floating], threshold: float | None) -> Trail:
    """Return what the members, asked in their order, would decide after each of them."""
    members, probs_MNC = len(logits_MNC), np.exp(log_softmax(logits_MNC))
    upto = range(1, members + 1)
    certainty_MN = np.stack([certainty(probs_MNC[:asked], threshold) for asked in upto])
    certainty_MN[: FIRST - 1], certainty_MN[-1] = -1.0, np.inf
    return Trail(
        decision_MN=np.stack([decisions(measure_uncertainty(logits_MNC[:asked]), threshold) for asked in upto]),
        certainty_MN=certainty_MN,
    )


@dataclass(frozen=True, kw_only=True)
class ExitPrice:
    """What a rule saves and costs on some rows."""

    rows: int
    members: int
    members_asked: float
    """On average."""
    changed: int
    """The decisions that all members together would have made otherwise."""
    changed_ci95: Interval
    """The exact interval of their share."""
    epistemic_correlation: Mapping[str, float | None]
    """Of every score of disagreement the rank correlation between that of the members asked and that of all; None where
    one of the two is the same for all rows. What is asked of fewer members says less of what they disagree on."""


def asked_members(probs_MNC: NDArray[np.float64], rule: ExitRule) -> NDArray[np.int64]:
    """Return how many members are asked about each row, the first ones."""
    asked_N = np.full(probs_MNC.shape[1], len(probs_MNC), dtype=np.int64)
    open_N = np.arange(probs_MNC.shape[1])
    for asked in range(1, len(probs_MNC)):
        is_settled = rule.settled(probs_MNC[:asked, open_N])
        asked_N[open_N[is_settled]] = asked
        open_N = open_N[~is_settled]
    return asked_N


def decisions(uncertainty: Uncertainty, threshold: float | None) -> NDArray[np.int64]:
    """Return the class that is answered to each row, or `NOTHING`."""
    if threshold is None:
        return uncertainty.prediction_N
    doubt_N = uncertainty_scores(uncertainty)["one_minus_confidence"]
    return np.where(doubt_N <= threshold, uncertainty.prediction_N, NOTHING)


def uncertainty_of_asked(logits_MNC: NDArray[np.floating], asked_N: NDArray[np.int64]) -> dict[int, Uncertainty]:
    """Return the uncertainty of the rows about which equally many members are asked, by how many these are."""
    return {asked: measure_uncertainty(logits_MNC[:asked, asked_N == asked]) for asked in np.unique(asked_N).tolist()}


def price_of_exit(logits_MNC: NDArray[np.floating], rule: ExitRule) -> ExitPrice:
    """Return what the rule saves and costs on rows that all members have predicted, in the order of the members."""
    asked_N = asked_members(np.exp(log_softmax(logits_MNC)), rule)
    whole = measure_uncertainty(logits_MNC)
    decided_N = np.empty(len(asked_N), np.int64)
    scores_N = {name: np.empty(len(asked_N)) for name in OF_DISAGREEMENT}
    for asked, part in uncertainty_of_asked(logits_MNC, asked_N).items():
        rows_N = asked_N == asked
        decided_N[rows_N] = decisions(part, rule.threshold)
        of_part = uncertainty_scores(part)
        for name, values_N in scores_N.items():
            values_N[rows_N] = of_part[name]
    changed = int((decided_N != decisions(whole, rule.threshold)).sum())
    of_all, even_1N = uncertainty_scores(whole), np.ones((1, len(asked_N)))
    found = {name: float(rank_correlation(values_N, of_all[name])(even_1N)[0]) for name, values_N in scores_N.items()}
    return ExitPrice(
        rows=len(asked_N),
        members=len(logits_MNC),
        members_asked=float(asked_N.mean()),
        changed=changed,
        changed_ci95=clopper_pearson(changed, len(asked_N)),
        epistemic_correlation={name: None if np.isnan(value) else value for name, value in found.items()},
    )
