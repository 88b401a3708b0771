import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.decisions.leaving.asked_in_order import (
    NOTHING,
    asked_members,
    decisions,
    uncertainty_of_asked,
)
from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import FIRST, ExitRule, certainty
from ensemble_uq_llm.evaluation.uncertainty import log_softmax, measure_uncertainty
from ensemble_uq_llm.labels.lacking_options import LACKING

LEVELS = (-30.0, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0)
"""Logits that tie often, and some that round to certainty."""


@st.composite
def ensembles(draw):
    members, classes = draw(st.integers(1, 6)), draw(st.integers(2, 4))
    logits = st.sampled_from(LEVELS) if draw(st.booleans()) else st.floats(-8, 8, width=32)
    rows = draw(st.integers(1, 8))
    values = draw(st.lists(logits, min_size=members * rows * classes, max_size=members * rows * classes))
    logits_MNC = np.array(values, dtype=np.float32).reshape(members, rows, classes)
    if classes > 2 and draw(st.booleans()):
        logits_MNC[:, 0, -1] = LACKING
    return logits_MNC


def decided(logits_MNC, asked_N, threshold):
    decided_N = np.empty(len(asked_N), int)
    for asked, part in uncertainty_of_asked(logits_MNC, asked_N).items():
        decided_N[asked_N == asked] = decisions(part, threshold)
    return decided_N


@settings(max_examples=600)
@given(ensembles(), st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.25, 0.5, 0.1])))
def test_the_exact_exit_decides_as_all_members_do(logits_MNC, threshold):
    rule = ExitRule(members=len(logits_MNC), threshold=threshold)
    asked_N = asked_members(np.exp(log_softmax(logits_MNC)), rule)
    assert np.array_equal(
        decided(logits_MNC, asked_N, threshold), decisions(measure_uncertainty(logits_MNC), threshold)
    )
    assert (asked_N >= min(FIRST, len(logits_MNC))).all()


@settings(max_examples=300)
@given(ensembles(), st.floats(0.02, 0.98))
def test_no_later_row_is_asked_of_more_members_than_the_bound_needs(logits_MNC, threshold):
    """Whoever is asked on may still change the decision: some answers of the rest do, within rounding."""
    probs_MNC = np.exp(log_softmax(logits_MNC))
    members, _, classes = probs_MNC.shape
    for bound in (None, threshold):
        for asked in range(FIRST, members):
            open_N = ~ExitRule(members=members, threshold=bound).settled(probs_MNC[:asked])
            total_NC = probs_MNC[:asked].sum(axis=0)[open_N]
            outcomes = []
            for c in range(classes):  # the rest gives all to one class, which are the corners of what it can say
                mean_NC = (total_NC + (members - asked) * np.eye(classes)[c]) / members
                outcomes.append(mean_NC)
            slack = 2e-5
            first_N = np.array([np.sort(mean_NC, axis=1)[:, -1] for mean_NC in outcomes])
            leaders = np.array([mean_NC.argmax(axis=1) for mean_NC in outcomes])
            gap_N = np.array(
                [np.sort(mean_NC, axis=1)[:, -1] - np.sort(mean_NC, axis=1)[:, -2] for mean_NC in outcomes]
            )
            may_change_N = (leaders != leaders[0]).any(axis=0) | (gap_N <= slack).any(axis=0)
            if bound is not None:
                lowest_N = total_NC.max(axis=1) / members
                highest_N = first_N.max(axis=0)
                may_change_N |= (1 - highest_N <= bound + slack) & (1 - lowest_N >= bound - slack)
            assert may_change_N.all()


def test_a_lead_that_the_rest_can_just_level_is_not_enough():
    probs_MNC = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert ExitRule(members=3).settled(probs_MNC).tolist() == [True]  # 2 against 1 at most
    assert ExitRule(members=4).settled(probs_MNC).tolist() == [False]  # 2 against 2
    assert ExitRule(members=3).settled(probs_MNC[:1]).tolist() == [False]  # two are always asked
    assert ExitRule(members=2).settled(probs_MNC).tolist() == [True]


def test_abstaining_can_stand_while_the_class_does_not():
    probs_MNC = np.full((2, 1, 2), 0.5)
    assert ExitRule(members=3).settled(probs_MNC).tolist() == [False]
    assert ExitRule(members=3, threshold=0.3).settled(probs_MNC).tolist() == [True]  # 2/3 at most is confident
    assert ExitRule(members=3, threshold=0.4).settled(probs_MNC).tolist() == [False]


def test_a_rule_that_looks_at_the_margin_alone_is_caught():
    """The property finds a planted fault: a lead that is compared with nothing."""

    class Careless(ExitRule):
        def _cannot_change(self, probs_MNC):
            return certainty(probs_MNC, None) > 0.3

    rng = np.random.default_rng(0)
    logits_MNC = rng.normal(size=(6, 300, 2)) * 2
    asked_N = asked_members(np.exp(log_softmax(logits_MNC)), Careless(members=6))
    assert (decided(logits_MNC, asked_N, None) != decisions(measure_uncertainty(logits_MNC), None)).any()


def test_the_certainty_is_the_distance_to_the_nearest_other_decision():
    probs_MNC = np.array([[[0.9, 0.1], [0.7, 0.3], [0.55, 0.45]]])
    np.testing.assert_allclose(certainty(probs_MNC, None), [0.8, 0.4, 0.1])
    np.testing.assert_allclose(certainty(probs_MNC, 0.2), [0.2, 0.2, 0.5])
    rule = ExitRule(members=3, threshold=0.2, tau=0.3)
    assert rule.settled(np.repeat(probs_MNC, 2, axis=0)).tolist() == [False, False, True]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_a_bolder_rule_asks_no_more(tau):
    rng = np.random.default_rng(1)
    probs_MNC = np.exp(log_softmax(rng.normal(size=(5, 200, 3)) * 2))
    asked_N = asked_members(probs_MNC, ExitRule(members=5, tau=tau))
    bolder_N = asked_members(probs_MNC, ExitRule(members=5, tau=tau - 0.1))
    assert (bolder_N <= asked_N).all()
    assert (asked_N == 5).all() == (tau == 1.0)


def test_nothing_is_a_decision():
    uncertainty = measure_uncertainty(np.log(np.array([[[0.9, 0.1], [0.6, 0.4]]])))
    assert decisions(uncertainty, 0.2).tolist() == [0, NOTHING]
    assert decisions(uncertainty, None).tolist() == [0, 0]
