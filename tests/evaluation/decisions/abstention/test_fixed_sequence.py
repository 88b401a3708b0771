import itertools
import math

import numpy as np
import pytest
import scipy.stats

from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import (
    EVERY_ROW,
    STARTS,
    STEP,
    fewest_rows,
    largest_answered,
)


def world(n, seed=0, *, steepness=0.4, digits=None):
    """Scores from 0 to 1, and errors that grow with the fourth power of them."""
    rng = np.random.default_rng(seed)
    scores_N = rng.random(n)
    wrong_N = rng.random(n) < steepness * scores_N**4
    return (scores_N if digits is None else scores_N.round(digits)), wrong_N


def literal(scores, wrong, r, delta):
    """The rule again, word for word, with scipy's binomial: the most rows that are answered."""
    n, answered = len(scores), 0
    for start, end in itertools.pairwise([*STARTS, 2.0]):
        for step in range(1000):
            coverage = start + step * STEP
            if coverage > min(end - 1e-9, 1 + 1e-9):
                break
            k = int(coverage * n + 1e-9)
            kept = [w for s, w in zip(scores, wrong, strict=True) if k == n or s < np.sort(scores)[k] * (1 - 2**-22)]
            if not kept:
                continue
            if scipy.stats.binom.cdf(sum(kept), len(kept), r) > delta / 5:
                break
            answered = len(kept)
    return answered


@pytest.mark.parametrize("digits", [None, 1])
@pytest.mark.parametrize("r", [0.01, 0.03, 0.06, 0.2])
@pytest.mark.parametrize("n", [30, 100, 400])
def test_it_is_the_rule_as_it_is_written(n, r, digits):
    for seed in range(6):
        scores_N, wrong_N = world(n, seed, digits=digits)
        found = largest_answered(scores_N, wrong_N, target_risk=r, delta=0.1)

        assert (0 if found is None else found.rows) == literal(scores_N, wrong_N, r, 0.1)


@pytest.mark.parametrize("digits", [None, 1])
def test_the_rows_are_those_at_or_below_the_threshold(digits):
    scores_N, wrong_N = world(600, digits=digits)
    found = largest_answered(scores_N, wrong_N, target_risk=0.05, delta=0.1)

    answered_N = scores_N <= found.threshold
    assert (answered_N.sum(), (answered_N & wrong_N).sum()) == (found.rows, found.wrong)
    assert 0 < found.rows < 600


def test_equal_scores_are_on_one_side_together_also_up_to_rounding():
    scores_N, wrong_N = world(600, digits=1)
    jittered_N = scores_N * (1 + 1e-9 * np.random.default_rng(0).normal(size=600))
    exact = largest_answered(scores_N, wrong_N, target_risk=0.05, delta=0.1)
    near = largest_answered(jittered_N, wrong_N, target_risk=0.05, delta=0.1)

    assert (near.rows, near.wrong) == (exact.rows, exact.wrong)
    assert set(scores_N[scores_N <= exact.threshold]).isdisjoint(scores_N[scores_N > exact.threshold])


def test_where_all_may_be_answered_no_later_score_is_too_high():
    found = largest_answered(*world(400), target_risk=0.5, delta=0.1)

    assert (found.threshold, found.rows) == (EVERY_ROW, 400)
    assert np.isfinite(found.threshold)


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_a_score_that_says_nothing_answers_all_or_nothing(constant):
    wrong_N = np.arange(200) % 10 == 0
    assert largest_answered(np.full(200, constant), wrong_N, target_risk=0.05, delta=0.1) is None
    assert largest_answered(np.full(200, constant), wrong_N, target_risk=0.2, delta=0.1).rows == 200


def test_scores_that_are_mostly_zero_can_be_answered_where_they_are():
    scores_N = np.concatenate([np.zeros(700), np.full(300, 0.5)])
    wrong_N = np.concatenate([np.zeros(700, np.bool_), np.arange(300) % 2 == 0])
    found = largest_answered(scores_N, wrong_N, target_risk=0.02, delta=0.1)

    assert (found.rows, found.wrong) == (700, 0)
    assert 0 <= found.threshold < 0.5


def test_the_order_of_the_rows_decides_nothing():
    scores_N, wrong_N = world(300, digits=1)
    turned = np.random.default_rng(1).permutation(300)

    assert largest_answered(scores_N[turned], wrong_N[turned], target_risk=0.05, delta=0.1) == largest_answered(
        scores_N, wrong_N, target_risk=0.05, delta=0.1
    )


@pytest.mark.parametrize(("r", "delta"), [(0.05, 0.1), (0.01, 0.1), (0.05, 0.01), (0.3, 0.5)])
def test_fewer_rows_than_the_fewest_certify_nothing(r, delta):
    fewest = fewest_rows(target_risk=r, delta=delta)
    enough = math.ceil(fewest / STARTS[-1])  # the last sequence begins there
    scores_N, none_wrong_N = np.linspace(0, 1, enough), np.zeros(enough, np.bool_)

    assert scipy.stats.binom.cdf(0, fewest, r) <= delta / 5 < scipy.stats.binom.cdf(0, fewest - 1, r)
    assert largest_answered(scores_N[: fewest - 1], none_wrong_N[: fewest - 1], target_risk=r, delta=delta) is None
    assert largest_answered(scores_N, none_wrong_N, target_risk=r, delta=delta).rows == enough


def test_no_rows_certify_nothing():
    assert largest_answered(np.zeros(0), np.zeros(0, np.bool_), target_risk=0.1, delta=0.1) is None
