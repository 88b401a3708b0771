from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import EVERY_ROW
from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule
from ensemble_uq_llm.evaluation.decisions.fitted import fit_decisions
from ensemble_uq_llm.evaluation.decisions.leaving.exit_plan import plan_exit
from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import ExitRule
from small_predictions import left_out_of, predicted, unlabelled

CALIBRATION = predicted(n=400, members=5, noise=0.4)


def deciding(threshold, score="one_minus_confidence"):
    group = CertifiedGroup(group=None, threshold=threshold, rows=400, wrong=20)
    certificate = Certificate(target_risk=0.1, confidence=0.9, score=score, groups=(group,))
    fitted = fit_decisions(CALIBRATION, name="calibration", rng=np.random.default_rng(0), draws=0)
    return DecisionRule(fitted=fitted, certificate=certificate)


def test_an_exact_exit_needs_no_calibration_rows_and_tells_the_price_where_there_are_some():
    plan = plan_exit("exact", DecisionRule(), CALIBRATION.members, None)
    assert (plan.rule, plan.price, plan.certificate) == (ExitRule(members=5), None, None)
    assert plan.order == CALIBRATION.members
    priced = plan_exit("exact", DecisionRule(), CALIBRATION.members, CALIBRATION)
    assert (priced.price.changed, priced.price.rows) == (0, 400)
    assert priced.price.members_asked < 5


def test_a_certified_exit_is_certified_for_the_threshold_beside_it():
    plan = plan_exit("certified", deciding(0.2), CALIBRATION.members, unlabelled(CALIBRATION), change_risk=0.05)
    assert plan.rule == ExitRule(members=5, threshold=0.2, tau=plan.certificate.tau)
    assert plan.certificate.threshold == 0.2
    assert 0 <= plan.certificate.tau < 1
    assert plan.price.changed == plan.certificate.changed
    assert plan.price.members_asked < 5


@pytest.mark.parametrize("threshold", [None, EVERY_ROW])
def test_where_all_or_nothing_is_answered_the_class_alone_counts(threshold):
    assert plan_exit("exact", deciding(threshold, "entropy"), CALIBRATION.members, None).rule.threshold is None


def test_the_order_is_that_of_the_fit():
    plan = plan_exit("exact", deciding(0.2), CALIBRATION.members[::-1], CALIBRATION)
    assert plan.order == CALIBRATION.members


def test_what_cannot_be_planned():
    few = replace(
        CALIBRATION,
        ids=CALIBRATION.ids[:100],
        labels=CALIBRATION.labels[:100],
        logits_MNC=CALIBRATION.logits_MNC[:, :100],
    )
    with pytest.raises(DataError, match=r"100 calibration rows cannot show .* 0.01 of .*, 230 at least are needed"):
        plan_exit("certified", DecisionRule(), few.members, few)
    for calibration in (None, left_out_of(CALIBRATION, out=2)):
        with pytest.raises(DataError, match="certified on a calibration split that all members have predicted"):
            plan_exit("certified", DecisionRule(), CALIBRATION.members, calibration)
    with pytest.raises(ConfigError, match="--exit: it is decided by entropy, of which"):
        plan_exit("exact", deciding(0.3, "entropy"), CALIBRATION.members, None)
    with pytest.raises(ConfigError, match="--exit-changes 0: must be above 0 and below 1"):
        plan_exit("exact", DecisionRule(), CALIBRATION.members, None, change_risk=0)
