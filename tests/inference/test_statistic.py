import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.inference.metrics import METRICS
from ensemble_uq_llm.inference.statistic import (
    average_precision_of,
    roc_area,
    value_of,
    weighted_mean,
    weighted_ratio,
)


def ranking_problem(seed, *, levels):
    """Scores on few levels have ties, on many have none; weights are counts of a resampling and fractions."""
    rng = np.random.default_rng(seed)
    scores_N = rng.integers(levels, size=80) / levels
    positive_N = rng.random(80) < 0.3 + 0.4 * scores_N
    counts_N = np.bincount(rng.integers(80, size=80), minlength=80)
    return scores_N, positive_N, np.stack([np.ones(80), counts_N, rng.random(80)])


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

    for metric in METRICS:
        weighted = metric.statistic(log_probs_NC, labels_N)(counts_N[None].astype(float))[0]
        listed = metric.statistic(log_probs_NC.repeat(counts_N, axis=0), labels_N.repeat(counts_N))
        assert weighted == pytest.approx(value_of(listed, counts_N.sum())), metric.name
