import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binomtest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.conformal import LEVELS, METHODS, fit_rules, include, measure
from ensemble_uq_llm.evaluation.records import GroupCoverage, Guarantee
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.statistic import family_of, weighted_mean


def world(n, classes, rng, *, digits=None):
    """Labels drawn from known probabilities; with few digits these tie."""
    probs_NC = rng.dirichlet(np.full(classes, 0.7), size=n)
    labels_N = (np.log(probs_NC) + rng.gumbel(size=(n, classes))).argmax(axis=1)
    return (probs_NC if digits is None else probs_NC.round(digits)), labels_N


def aps_scores(probs_NC, random_N):
    """The definition, class by class: earlier classes come first where probabilities tie."""
    scores_NC = np.empty_like(probs_NC)
    for n, probs_C in enumerate(probs_NC.tolist()):
        for c, p in enumerate(probs_C):
            before = [q for k, q in enumerate(probs_C) if q > p or (q == p and k < c)]
            scores_NC[n, c] = sum(before) + random_N[n] * p
    return scores_NC


def kth_smallest(scores, level):
    rank = math.ceil((len(scores) + 1) * Fraction(str(level)))
    return sorted(scores)[rank - 1] if rank <= len(scores) else None


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([2, 3, 5]), st.sampled_from([None, 1]))
def test_thresholds_and_sets_are_those_of_the_definition(seed, n, classes, digits):
    rng = np.random.default_rng(seed)
    probs_NC, labels_N = world(n, classes, rng, digits=digits)
    test_NC, _ = world(8, classes, rng, digits=digits)
    rules = fit_rules(probs_NC, labels_N, rng=np.random.default_rng(5))
    sets = include(rules, test_NC, rng=np.random.default_rng(6))

    random_N, test_random_N = np.random.default_rng(5).random(n), np.random.default_rng(6).random(8)
    rows = range(n)
    assert [(rule.method, rule.level) for rule in rules] == [(m, level) for m in METHODS for level in LEVELS]
    for rule, sets_NC in zip(rules, sets, strict=True):
        scores_NC = aps_scores(probs_NC, random_N) if rule.method == "aps" else 1 - probs_NC
        test_scores_NC = aps_scores(test_NC, test_random_N) if rule.method == "aps" else 1 - test_NC
        own = scores_NC[rows, labels_N]
        if rule.method == "class_conditional":
            expected = [kth_smallest(own[labels_N == c].tolist(), rule.level) for c in range(classes)]
        else:
            expected = [kth_smallest(own.tolist(), rule.level)] * classes
        assert [each is None for each in rule.thresholds] == [each is None for each in expected]
        threshold_C = np.array([np.inf if each is None else each for each in rule.thresholds])
        assert threshold_C == pytest.approx([np.inf if each is None else each for each in expected], abs=1e-12)
        assert list(rule.examples) == [labels_N.tolist().count(c) for c in range(classes)]
        clear_NC = np.abs(test_scores_NC - threshold_C) > 1e-9
        assert (sets_NC == (test_scores_NC <= threshold_C))[clear_NC].all()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("method", METHODS)
def test_coverage_over_random_splits_is_distributed_as_the_theory_says(method, classes):
    """With n calibration and m test examples the covered ones are beta-binomial(m, k, n + 1 - k), k the rank."""
    n, m, splits, level = 99, 200, 200, 0.9
    covered = []
    for split in range(splits):
        rng = np.random.default_rng(split)
        probs_NC, labels_N = world(n + m, classes, rng)
        rules = [r for r in fit_rules(probs_NC[:n], labels_N[:n], rng=rng, levels=[level]) if r.method == method]
        (sets_NC,) = include(rules, probs_NC[n:], rng=rng)
        covered.append(int(sets_NC[np.arange(m), labels_N[n:]].sum()))

    law = betabinom(m, 90, 10)
    assert np.mean(covered) >= level * m - 4 * law.std() / splits**0.5
    if method != "class_conditional":  # there every class has its own rank
        assert np.mean(covered) <= level * m + 4 * law.std() / splits**0.5
        for share in (0.05, 0.5, 0.95):
            assert binomtest(int((covered <= law.ppf(share)).sum()), splits, law.cdf(law.ppf(share))).pvalue > 1e-4


def test_the_promise_to_every_class_is_kept_where_the_marginal_one_breaks_it():
    """Class 1 is rare and underestimated: the common threshold sacrifices it."""
    rng = np.random.default_rng(0)
    labels_N = (rng.random(6000) < 0.1).astype(int)
    p_N = 1 / (1 + np.exp(-(rng.normal(size=6000) + 1.5 * labels_N - 3)))
    probs_NC = np.stack([1 - p_N, p_N], axis=1)
    rules = fit_rules(probs_NC[:3000], labels_N[:3000], rng=rng, levels=[0.9])
    result = measure(rules, include(rules, probs_NC[3000:], rng=rng), labels_N[3000:], draws=0)

    marginal, of_class = result["lac"]["0.90"], result["class_conditional"]["0.90"]
    assert marginal.coverage.value == pytest.approx(0.9, abs=0.03)
    assert marginal.by_class[1].ci95[1] < 0.6
    assert of_class.by_class[1].ci95[1] > 0.9
    assert of_class.guarantee.of == "class"


@pytest.mark.parametrize(("n", "level", "finite"), [(3, 0.8, False), (4, 0.8, True), (8, 0.9, False), (9, 0.9, True)])
def test_too_few_calibration_examples_include_every_class(n, level, finite):
    rng = np.random.default_rng(1)
    probs_NC, labels_N = world(n, 3, rng)
    rules = fit_rules(probs_NC, labels_N, rng=rng, levels=[level])[:2]

    for rule, sets_NC in zip(rules, include(rules, probs_NC, rng=rng), strict=True):
        assert (None not in rule.thresholds) == finite
        if not finite:
            assert sets_NC.all()
            assert rule.thresholds == (None, None, None)
            result = measure([rule], [sets_NC], labels_N, draws=0)[rule.method][f"{level:.2f}"]
            assert result.always_included == (0, 1, 2)


@pytest.mark.parametrize("n", [9, 19, 29, 59, 99, 199, 599, 999])
@pytest.mark.parametrize("level", LEVELS)
def test_the_rank_does_not_slip_by_rounding(n, level):
    own_N = np.random.default_rng(n).permutation(n) / 1024  # exact in binary
    probs_NC = np.stack([1 - own_N, own_N], axis=1)
    rule = fit_rules(probs_NC, np.zeros(n, dtype=int), rng=np.random.default_rng(0), levels=[level])[0]

    assert rule.thresholds[0] == kth_smallest(own_N.tolist(), level)


def test_a_class_that_calibration_does_not_know_is_always_included_and_named():
    rng = np.random.default_rng(2)
    probs_NC = rng.dirichlet(np.ones(3), size=50)
    labels_N = rng.integers(2, size=50)
    rule = fit_rules(probs_NC, labels_N, rng=rng)[-1]

    assert [c for c, threshold in enumerate(rule.thresholds) if threshold is None] == [2]
    assert include([rule], probs_NC, rng=rng)[0][:, 2].all()
    assert rule.guarantee().at_most[2] == 1.0


def test_certain_predictions_that_are_all_right_need_one_class_only():
    probs_NC = np.eye(2)[np.arange(40) % 2]
    rng = np.random.default_rng(0)
    rules = fit_rules(probs_NC, np.arange(40) % 2, rng=rng)
    result = measure(rules, include(rules, probs_NC, rng=rng), np.arange(40) % 2, draws=0)

    for method in ("lac", "class_conditional"):
        assert [each.coverage.value for each in result[method].values()] == [1.0] * 3
        assert [each.mean_size.value for each in result[method].values()] == [1.0] * 3


def test_what_is_measured():
    rng = np.random.default_rng(3)
    probs_NC, labels_N = world(300, 4, rng)
    test_NC, test_labels_N = world(500, 4, rng)
    rules = fit_rules(probs_NC, labels_N, rng=rng)
    sets = include(rules, test_NC, rng=rng)
    result = measure(rules, sets, test_labels_N, draws=200, seed=7)

    flat = [result[rule.method][f"{rule.level:.2f}"] for rule in rules]
    for rule, sets_NC, got in zip(rules, sets, flat, strict=True):
        sizes = sets_NC.sum(axis=1).tolist()
        covered = [bool(sets_NC[n, label]) for n, label in enumerate(test_labels_N.tolist())]
        exact = binomtest(sum(covered), 500).proportion_ci(method="exact")
        assert got.level == rule.level
        assert got.coverage.value == sum(covered) / 500
        assert got.coverage.ci95 == pytest.approx([exact.low, exact.high])
        size = resample(family_of({"size": weighted_mean(np.array(sizes))}), sizes=[500], draws=200, seed=7)
        assert got.mean_size.value == pytest.approx(np.mean(sizes))
        assert got.mean_size.ci95 == pytest.approx(size.estimate("size").ci95)
        assert got.empty == sizes.count(0) / 500
        assert got.single == sizes.count(1) / 500
        assert [(each.group, each.n) for each in got.by_size] == [(s, sizes.count(s)) for s in sorted(set(sizes))]
        for each in got.by_size:
            inside = [c for s, c in zip(sizes, covered, strict=True) if s == each.group]
            assert each.coverage == pytest.approx(np.mean(inside))
        for each in got.by_class:
            inside = [c for label, c in zip(test_labels_N.tolist(), covered, strict=True) if label == each.group]
            interval = binomtest(sum(inside), len(inside)).proportion_ci(method="exact")
            assert each.coverage == pytest.approx(np.mean(inside))
            assert each.ci95 == pytest.approx([interval.low, interval.high])


def test_a_class_without_test_examples_has_no_coverage():
    rng = np.random.default_rng(4)
    probs_NC, labels_N = world(100, 3, rng)
    rules = fit_rules(probs_NC, labels_N, rng=rng, levels=[0.9])
    result = measure(rules, include(rules, probs_NC[:1], rng=rng), np.array([1]))

    assert result["lac"]["0.90"].by_class[0] == GroupCoverage(group=0, n=0, coverage=None, ci95=None)
    assert result["lac"]["0.90"].mean_size.ci95 is None
    assert result["lac"]["0.90"].coverage.ci95 is not None


def test_the_guarantee():
    rng = np.random.default_rng(5)
    probs_NC, labels_N = world(99, 2, rng)
    lac, _, of_class = fit_rules(probs_NC, labels_N, rng=rng, levels=[0.9])

    assert lac.guarantee() == Guarantee(of="marginal", at_least=0.9, at_most=pytest.approx(0.91))
    expected = [0.9 + 1 / (np.sum(labels_N == c) + 1) for c in range(2)]
    assert list(of_class.guarantee().at_most) == pytest.approx(expected)


def test_the_same_generator_gives_the_same_sets():
    probs_NC, labels_N = world(80, 3, np.random.default_rng(6))

    def sets():
        rules = fit_rules(probs_NC, labels_N, rng=np.random.default_rng(1))
        return np.stack(include(rules, probs_NC, rng=np.random.default_rng(2)))

    assert (sets() == sets()).all()


def test_no_calibration_examples():
    with pytest.raises(DataError, match="no labelled example to calibrate sets on"):
        fit_rules(np.empty((0, 2)), np.empty(0, dtype=np.int64), rng=np.random.default_rng(0))
