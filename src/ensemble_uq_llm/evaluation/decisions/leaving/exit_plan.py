"""How the members of a run are asked one after another, and what is known of the price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import EVERY_ROW
from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule
from ensemble_uq_llm.evaluation.decisions.leaving.asked_in_order import ExitPrice, price_of_exit
from ensemble_uq_llm.evaluation.decisions.leaving.certify_exit import (
    ExitCertificate,
    certify_exit,
    fewest_exit_rows,
)
from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import ExitRule
from ensemble_uq_llm.evaluation.scores import BASELINE
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_members
from ensemble_uq_llm.utils.text import counted

ExitKind: TypeAlias = Literal["exact", "certified"]

CHANGES: Final = 0.01
"""The share of decisions that a certified exit may change, where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class ExitPlan:
    """Whom to ask, in which order, and when to ask no more."""

    kind: ExitKind
    order: tuple[MemberId, ...]
    rule: ExitRule
    certificate: ExitCertificate | None = None
    """Of a certified exit."""
    price: ExitPrice | None = None
    """On the calibration rows, where they are there."""


def plan_exit(
    kind: ExitKind,
    rule: DecisionRule,
    members: Sequence[MemberId],
    calibration: Predictions | None,
    *,
    change_risk: float = CHANGES,
    confidence: float = 0.9,
) -> ExitPlan:
    """Return how members are asked in turn; a certified exit is certified on the calibration rows.

    Args:
        kind: of the exit.
        rule: by what is decided.
        members: in the order in which they are asked where nothing was fitted; else that of the fit is taken.
        calibration: rows that all members have predicted, whose labels play no part.
        change_risk: the largest share of decisions that a certified exit may change.
        confidence: how probable it is, over calibration sets, that no more change.

    Raises:
        ConfigError: a share is none, or it is decided by a score of which members bound nothing.
        DataError: there are no calibration rows, or too few.
    """
    for option, share in (("--exit-changes", change_risk), ("--exit-confidence", confidence)):
        if not 0 < share < 1:
            raise ConfigError(f"{option} {share:g}: must be above 0 and below 1, such as 0.01 or 0.9")
    order = tuple(members) if rule.fitted is None else rule.fitted.members
    own = None if calibration is None else of_members(calibration, order, name="the calibration set", others="the run")
    threshold = _threshold(rule)
    if kind == "exact":
        exact = ExitRule(members=len(order), threshold=threshold)
        price = None if own is None or own.left_out_MN is not None else price_of_exit(own.logits_MNC, exact)
        return ExitPlan(kind=kind, order=order, rule=exact, price=price)
    if own is None or own.left_out_MN is not None:
        raise DataError(
            "--exit certified: it is certified on a calibration split that all members have predicted, and there is "
            "none; set calibration_fraction and train anew, or use --exit exact"
        )
    certificate = certify_exit(own.logits_MNC, threshold=threshold, change_risk=change_risk, confidence=confidence)
    if certificate.tau is None:
        needed = fewest_exit_rows(change_risk=change_risk, confidence=confidence)
        raise DataError(
            f"--exit certified: {counted(certificate.rows, 'calibration row')} cannot show that at most "
            f"{change_risk:g} of the decisions change, {needed:,} at least are needed; allow more with --exit-changes, "
            "or use --exit exact"
        )
    certified = ExitRule(members=len(order), threshold=threshold, tau=certificate.tau)
    price = price_of_exit(own.logits_MNC, certified)
    return ExitPlan(kind=kind, order=order, rule=certified, certificate=certificate, price=price)


def _threshold(rule: DecisionRule) -> float | None:
    """Return where on one minus confidence it is answered; None where that is the same for all questions."""
    if rule.certificate is None or rule.certificate.threshold in (None, EVERY_ROW):
        return None
    if rule.score != BASELINE:
        raise ConfigError(
            f"--exit: it is decided by {rule.score}, of which the members asked so far bound nothing; make a "
            f"certificate by {BASELINE} (ensemble-uq decide RUN --target-risk {rule.certificate.target_risk:g}), or "
            "leave --exit out"
        )
    return rule.certificate.threshold
