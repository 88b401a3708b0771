from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.decisions.risk_band import risk_family, with_band
from ensemble_uq_llm.evaluation.decisions.selective import risk_coverage_curve, selective_family
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.statistic import values_of


def noisy(n, *, seed=0, levels=None):
    rng = np.random.default_rng(seed)
    scores_N = rng.random(n) if levels is None else rng.integers(levels, size=n) / levels
    return scores_N, rng.random(n) < 0.4 * scores_N


def banded(scores_N, wrong_N, *, draws=200):
    curve = risk_coverage_curve(scores_N, wrong_N)
    family = risk_family(scores_N, wrong_N, curve.coverage)
    return with_band(curve, resample(family, sizes=[len(scores_N)], draws=draws))


@pytest.mark.parametrize("levels", [None, 12, 2])
def test_the_risks_are_those_of_the_curve(levels):
    scores_N, wrong_N = noisy(300, levels=levels)
    curve = risk_coverage_curve(scores_N, wrong_N)

    values = values_of(risk_family(scores_N, wrong_N, curve.coverage), 300)
    assert list(values.values()) == pytest.approx(curve.risk)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_within_ties_the_risk_is_the_mean_over_every_order(examples):
    n = len(examples)
    orders = [order for order in permutations(examples) if all(a[0] <= b[0] for a, b in pairwise(order))]
    risk_n = np.mean([np.cumsum([flag for _, flag in order]) / np.arange(1, n + 1) for order in orders], axis=0)
    scores, wrong = zip(*examples, strict=True)

    family = risk_family(np.array(scores, dtype=np.float64), np.array(wrong), [k / n for k in range(1, n + 1)])
    assert list(values_of(family, n).values()) == pytest.approx(risk_n)


def test_examples_that_are_drawn_twice_count_twice():
    scores_N, wrong_N = noisy(40)
    counts_N = np.random.default_rng(1).integers(0, 3, size=40)
    coverages = [0.1, 0.37, 0.8, 1.0]

    risks = risk_family(scores_N, wrong_N, coverages)(counts_N[None].astype(np.float64))
    listed = risk_family(scores_N.repeat(counts_N), wrong_N.repeat(counts_N), coverages)
    expected = values_of(listed, int(counts_N.sum()))
    assert {p: risk_D[0] for p, risk_D in risks.items()} == pytest.approx(expected)


def test_the_band_at_80_percent_is_the_interval_of_the_risk_there():
    scores_N, wrong_N = noisy(50)
    curve = banded(scores_N, wrong_N)
    at = curve.coverage.index(0.8)
    risk = resample(selective_family(scores_N, wrong_N), sizes=[50], draws=200).estimate("risk_at_coverage_80")

    assert curve.risk[at] == pytest.approx(risk.value)
    assert (curve.low[at], curve.high[at]) == pytest.approx(risk.ci95)
    assert all(low <= risk <= high for low, risk, high in zip(curve.low, curve.risk, curve.high, strict=True))


def test_at_full_coverage_the_band_is_that_of_the_error_rate():
    """The normal approximation to the binomial, on enough examples for it."""
    scores_N, wrong_N = noisy(2000)
    curve, rate = banded(scores_N, wrong_N, draws=1000), noisy(2000)[1].mean()

    half = 1.96 * np.sqrt(rate * (1 - rate) / 2000)
    assert curve.high[-1] - rate == pytest.approx(half, rel=0.1)
    assert rate - curve.low[-1] == pytest.approx(half, rel=0.1)


def test_without_draws_and_of_one_example_there_is_no_band():
    scores_N, wrong_N = noisy(30)

    assert banded(scores_N, wrong_N, draws=0) == risk_coverage_curve(scores_N, wrong_N)
    assert banded(scores_N[:1], wrong_N[:1]).low == ()
