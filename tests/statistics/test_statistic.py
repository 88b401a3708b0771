import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.quality.metrics import metrics_for
from ensemble_uq_llm.statistics.statistic import (
    Ranking,
    average_precision_of,
    family_of,
    roc_area,
    value_of,
    values_of,
    weighted_mean,
    weighted_ratio,
)


def ranking_problem(seed, *, levels):
    """Scores on few levels have ties, on many have none; weights are ones, counts of a resampling, and others."""
    rng = np.random.default_rng(seed)
    scores_N = rng.integers(levels, size=80) / levels
    positive_N = rng.random(80) < 0.3 + 0.4 * scores_N
    counts_N = np.bincount(rng.integers(80, size=80), minlength=80)
    return scores_N, positive_N, np.stack([np.ones(80), counts_N, rng.integers(9, size=80)])


@pytest.mark.parametrize("levels", [3, 20, 10**9])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (roc_area, sklearn.metrics.roc_auc_score),
        (average_precision_of, sklearn.metrics.average_precision_score),
    ],
)
def test_weighted_rankings_agree_with_scikit_learn(ours, theirs, seed, levels):
    scores_N, positive_N, weights_DN = ranking_problem(seed, levels=levels)

    expected = [theirs(positive_N, scores_N, sample_weight=weights_N) for weights_N in weights_DN]
    assert ours(scores_N, positive_N)(weights_DN) == pytest.approx(expected)


def test_ties_count_half():
    area = roc_area(np.array([1.0, 1.0, 2.0]), np.array([True, False, True]))

    assert value_of(area, 3) == 0.75
    assert value_of(roc_area(np.zeros(5), np.arange(5) < 2), 5) == 0.5


def test_a_draw_without_one_class_is_undefined_and_leaves_the_others_alone():
    weights_DN = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    scores_N, positive_N = np.array([0.9, 0.1, 0.5]), np.array([True, False, False])

    area_D = roc_area(scores_N, positive_N)(weights_DN)
    precision_D = average_precision_of(scores_N, positive_N)(weights_DN)
    assert area_D == pytest.approx([1.0, np.nan, np.nan], nan_ok=True)
    assert precision_D == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)


def test_weighted_means_and_ratios():
    weights_DN = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 2.0]])

    assert weighted_mean(np.array([4.0, 8.0]))(weights_DN).tolist() == [6.0, 5.0, 8.0]
    ratio = weighted_ratio(np.array([True, True]), np.array([2.0, 0.0]))
    assert ratio(weights_DN) == pytest.approx([1.0, 4 / 6, np.nan], nan_ok=True)


@given(st.integers(0, 10**6))
def test_a_weight_of_two_is_an_example_listed_twice(seed):
    rng = np.random.default_rng(seed)
    log_probs_NC = np.log(rng.dirichlet(np.ones(3), size=12))
    labels_N = np.append(rng.integers(3, size=9), [0, 1, 2])
    counts_N = rng.integers(1, 4, size=12)

    # The bins of equal mass are cut before an example is weighted, so listing it twice moves them.
    for metric in (each for each in metrics_for(3) if each.name != "equal_mass_ece"):
        weighted = metric.statistic(log_probs_NC, labels_N)(counts_N[None].astype(float))[0]
        listed = metric.statistic(log_probs_NC.repeat(counts_N, axis=0), labels_N.repeat(counts_N))
        assert weighted == pytest.approx(value_of(listed, counts_N.sum())), metric.name


@pytest.mark.parametrize("ties", [False, True])
def test_a_family_gives_what_its_statistics_give_alone(ties):
    rng = np.random.default_rng(1)
    scores_N = rng.integers(5, size=40) / 4 if ties else rng.normal(size=40)
    positive_N = rng.random(40) < 0.4
    statistics = {
        "auc": roc_area(scores_N, positive_N),
        "mean": weighted_mean(scores_N),
        "other auc": roc_area(-scores_N, positive_N),
        "ap": average_precision_of(scores_N, positive_N),
        "ratio": weighted_ratio(scores_N, 1.0 * positive_N),
        "own": lambda weights_DN: weights_DN.max(axis=1),
    }
    weights_DN = rng.integers(3, size=(7, 40)).astype(float)
    together = family_of(statistics)(weights_DN)

    assert list(together) == list(statistics)
    for name, statistic in statistics.items():
        assert together[name] == pytest.approx(statistic(weights_DN), rel=1e-12), name


def test_a_ranking_equals_one_of_the_same_order_groups_and_positives():
    scores_N, positive_N = np.array([0.1, 0.2, 0.2, 0.4]), np.array([True, False, True, False])
    ranking = Ranking.ascending(scores_N, positive_N)

    assert ranking.equals(Ranking.ascending(10 * scores_N, positive_N))
    assert not ranking.equals(Ranking.ascending(scores_N, ~positive_N))
    assert not ranking.equals(Ranking.ascending(np.array([0.1, 0.2, 0.3, 0.4]), positive_N))
    assert not ranking.equals(Ranking.ascending(-scores_N, positive_N))


def test_values_are_those_of_equal_weights_and_keys_need_not_be_names():
    family = family_of(
        {("x", 1): weighted_mean(np.array([1.0, 3.0])), ("x", None): weighted_mean(np.array([2.0, 8.0]))}
    )

    assert values_of(family, 2) == {("x", 1): 2.0, ("x", None): 5.0}
