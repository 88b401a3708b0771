from fractions import Fraction
from itertools import groupby, pairwise, permutations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.decisions.selective import (
    COVERAGES,
    RISKS,
    SELECTIVE_NUMBERS,
    risk_coverage_curve,
    selective_family,
)
from ensemble_uq_llm.evaluation.records import RiskCoverageCurve
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.statistic import values_of

ranked_examples = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30)


def expected_errors(scores, wrong):
    """The expected errors among the k most certain examples, k = 1..n, ties in random order; exact."""
    errors, expected = 0, []
    for _, group in groupby(sorted(zip(scores, wrong, strict=True)), key=lambda example: example[0]):
        flags = [flag for _, flag in group]
        share = Fraction(sum(flags), len(flags))
        expected += [errors + share * j for j in range(1, len(flags) + 1)]
        errors += sum(flags)
    return expected


def mean_risk(scores, wrong):
    return sum(errors / k for k, errors in enumerate(expected_errors(scores, wrong), start=1)) / len(scores)


def largest_coverage(scores, wrong, percent):
    coverage = Fraction(0)
    for threshold in set(scores):
        kept = [flag for score, flag in zip(scores, wrong, strict=True) if score <= threshold]
        if 100 * sum(kept) <= percent * len(kept):
            coverage = max(coverage, Fraction(len(kept), len(scores)))
    return coverage


def in_plain_python(scores, wrong):
    """Every quantity by its definition, example by example, in exact fractions."""
    n, errors = len(scores), expected_errors(scores, wrong)
    values = {
        "aurc": mean_risk(scores, wrong),
        "eaurc": mean_risk(scores, wrong) - mean_risk(wrong, wrong),
        "augrc": sum(errors) / Fraction(n) ** 2,
    }
    for percent in RISKS:
        values[f"coverage_at_risk_{percent}"] = largest_coverage(scores, wrong, percent)
    for percent in COVERAGES:
        k = -(-percent * n // 100)
        values[f"risk_at_coverage_{percent}"] = errors[k - 1] / k
    both = 0 < sum(wrong) < n
    values["error_auroc"] = sklearn.metrics.roc_auc_score(wrong, scores) if both else np.nan
    precision = sklearn.metrics.average_precision_score(wrong, scores) if any(wrong) else np.nan
    return {name: float(value) for name, value in (values | {"error_average_precision": precision}).items()}


def selective(scores, wrong):
    return values_of(selective_family(np.array(scores, dtype=np.float64), np.array(wrong, dtype=bool)), len(scores))


def noisy(n, *, seed=0, levels=None):
    rng = np.random.default_rng(seed)
    scores_N = rng.random(n) if levels is None else rng.integers(levels, size=n) / levels
    return scores_N, rng.random(n) < 0.4 * scores_N


@given(ranked_examples.filter(lambda examples: any(count for _, _, count in examples)))
def test_weighted_numbers_equal_their_definitions_on_examples_listed_so_often(examples):
    scores, wrong, counts = zip(*examples, strict=True)
    family = selective_family(np.array(scores, dtype=np.float64), np.array(wrong))
    values = {name: values_D[0] for name, values_D in family(np.array([counts], dtype=np.float64)).items()}

    listed = [(score, flag) for score, flag, count in examples for _ in range(count)]
    assert values == pytest.approx(in_plain_python(*zip(*listed, strict=True)), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("levels", [None, 50, 5])
def test_every_draw_of_a_bootstrap_equals_the_definitions(levels):
    scores_N, wrong_N = noisy(150, levels=levels)
    rng = np.random.default_rng(1)
    counts_DN = np.stack([np.bincount(rng.integers(150, size=150), minlength=150) for _ in range(5)])
    numbers = selective_family(scores_N, wrong_N)(counts_DN.astype(np.float64))

    for draw, counts_N in enumerate(counts_DN):
        listed = in_plain_python(scores_N.repeat(counts_N).tolist(), wrong_N.repeat(counts_N).tolist())
        assert {name: values_D[draw] for name, values_D in numbers.items()} == pytest.approx(listed)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_ties_are_the_mean_over_every_order_they_can_be_broken_in(examples):
    n = len(examples)
    orders = [order for order in permutations(examples) if all(a[0] <= b[0] for a, b in pairwise(order))]
    errors_n = np.mean([np.cumsum([flag for _, flag in order]) for order in orders], axis=0)
    risk_n = np.mean([np.cumsum([flag for _, flag in order]) / np.arange(1, n + 1) for order in orders], axis=0)

    values = selective(*zip(*examples, strict=True))
    assert values["aurc"] == pytest.approx(risk_n.mean())
    assert values["augrc"] == pytest.approx(errors_n.mean() / n)
    for percent in COVERAGES:
        assert values[f"risk_at_coverage_{percent}"] == pytest.approx(risk_n[-(-percent * n // 100) - 1])


@pytest.mark.parametrize("levels", [None, 4])
def test_augrc_is_auroc_and_accuracy_in_one_number(levels):
    """Traub et al. 2024; by trapezoids from coverage 0 their integral lacks the last term."""
    scores_N, wrong_N = noisy(500, levels=levels)
    values, accuracy = selective(scores_N, wrong_N), 1 - wrong_N.mean()

    integral = (1 - values["error_auroc"]) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert values["augrc"] == pytest.approx(integral + (1 - accuracy) / (2 * 500))


def test_a_perfect_ranking_has_no_excess_and_the_opposite_one_the_most():
    wrong = [False] * 70 + [True] * 30
    perfect, opposite = selective(range(100), wrong), selective(range(100, 0, -1), wrong)

    assert perfect["eaurc"] == pytest.approx(0.0, abs=1e-12)
    assert perfect["error_auroc"] == perfect["error_average_precision"] == 1.0
    assert perfect["coverage_at_risk_1"] == 0.7
    assert perfect["risk_at_coverage_80"] == pytest.approx(10 / 80)
    assert opposite["error_auroc"] == 0.0
    assert opposite["coverage_at_risk_5"] == 0.0
    assert opposite["aurc"] == pytest.approx((30 + sum(30 / k for k in range(31, 101))) / 100)


def test_a_score_that_says_nothing_gets_the_error_rate():
    values = selective([0.3] * 40, [True] * 8 + [False] * 32)

    assert values["aurc"] == pytest.approx(0.2)
    assert [values[f"risk_at_coverage_{percent}"] for percent in COVERAGES] == pytest.approx([0.2] * 3)
    assert [values[f"coverage_at_risk_{percent}"] for percent in RISKS] == [0.0] * 3
    assert values["error_auroc"] == 0.5
    assert values["error_average_precision"] == pytest.approx(0.2)


def test_without_errors_nothing_is_risked_and_there_is_nothing_to_find():
    values = selective([0.1, 0.5, 0.5, 0.9], [False] * 4)

    assert [values[name] for name in ("aurc", "eaurc", "augrc")] == [0.0] * 3
    assert [values[f"coverage_at_risk_{percent}"] for percent in RISKS] == [1.0] * 3
    assert np.isnan([values["error_auroc"], values["error_average_precision"]]).all()


@pytest.mark.parametrize("n", [1, 7])
def test_without_a_right_answer_every_risk_is_one(n):
    values = selective(range(n), [True] * n)

    assert values["aurc"] == pytest.approx(1.0)
    assert values["eaurc"] == pytest.approx(0.0, abs=1e-12)
    assert values["augrc"] == pytest.approx((n + 1) / (2 * n))
    assert values["error_average_precision"] == 1.0
    assert np.isnan(values["error_auroc"])
    assert values["coverage_at_risk_5"] == 0.0


@pytest.mark.parametrize("percent", RISKS)
def test_a_risk_met_exactly_is_kept(percent):
    n = 300 * 100 // percent  # n * percent / 100 = 300 errors, none of which a rounded product may refuse
    values = selective(range(n), [False] * (n - 300) + [True] * 300)

    assert values[f"coverage_at_risk_{percent}"] == 1.0


def test_a_threshold_keeps_equal_scores_together():
    """Four of five could be kept at no risk, but no threshold separates the fourth from the error."""
    assert selective([1, 2, 3, 4, 4], [False] * 4 + [True])["coverage_at_risk_5"] == 3 / 5


def test_intervals_contain_the_value_and_every_quantity_is_in_the_table():
    scores_N, wrong_N = noisy(400)
    resampled = resample(selective_family(scores_N, wrong_N), sizes=[400], draws=200, seed=0)

    assert {quantity.name for quantity in SELECTIVE_NUMBERS} == set(resampled.values)
    for quantity in SELECTIVE_NUMBERS:
        low, high = resampled.estimate(quantity.name).ci95
        assert low <= resampled.values[quantity.name] <= high, quantity.name


@pytest.mark.parametrize("levels", [None, 40, 3])
@pytest.mark.parametrize("points", [2, 20, 1000])
def test_the_curve_is_exact_where_it_is_drawn(levels, points):
    scores_N, wrong_N = noisy(300, levels=levels)
    curve = risk_coverage_curve(scores_N, wrong_N, points=points)
    coverages, risks = curve.coverage, curve.risk

    thresholds = sorted(set(scores_N.tolist()))
    kept = {(scores_N <= threshold).mean(): wrong_N[scores_N <= threshold].mean() for threshold in thresholds}
    assert dict(zip(coverages, risks, strict=True)) == pytest.approx({c: kept[c] for c in coverages})
    assert coverages[0] == (scores_N == scores_N.min()).mean()
    assert (coverages[-1], risks[-1]) == (1.0, pytest.approx(wrong_N.mean()))
    assert len(coverages) <= points
    assert len(coverages) == len(thresholds) or points < len(thresholds)


def test_the_curve_of_many_examples_is_evenly_spread():
    coverages = risk_coverage_curve(*noisy(20_000)).coverage

    assert len(coverages) == 100
    assert np.diff(coverages) == pytest.approx(np.full(99, 1 / 99), abs=1e-3)
    assert isinstance(coverages[0], float)


def test_the_curve_of_one_example():
    assert risk_coverage_curve(np.array([0.5]), np.array([True])) == RiskCoverageCurve(coverage=(1.0,), risk=(1.0,))
