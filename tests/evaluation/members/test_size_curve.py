from dataclasses import asdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.metrics import log_loss, roc_auc_score

from ensemble_uq_llm.evaluation.members.size_curve import size_curve
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.statistics.statistic import value_of
from small_predictions import predicted

HEADLINE = [m for m in METRICS if m.name in {"accuracy", "auc", "average_precision", "nll", "brier", "ece"}]
NLL = [m for m in METRICS if m.name == "nll"]


def curve(log_probs_MNC, labels_N, *, metrics=HEADLINE, seed=0, **options):
    return size_curve(log_probs_MNC, labels_N, metrics, rng=np.random.default_rng(seed), **options)


def members_of(predictions):
    return log_softmax(predictions.logits_MNC), predictions.labels_N


@pytest.mark.parametrize("classes", [2, 3])
def test_a_curve_over_all_subsets(classes):
    log_probs_MNC, labels_N = members_of(predicted(80, members=4, classes=classes, noise=2.0))
    got = curve(log_probs_MNC, labels_N)

    assert got.sizes == (1, 2, 3, 4)
    assert got.subsets == (4, 6, 4, 1)
    assert list(got.metrics) == [metric.name for metric in HEADLINE]
    for i, size in enumerate(got.sizes):
        pooled = [np.exp(log_probs_MNC)[list(s)].mean(axis=0) for s in combinations(range(4), size)]
        losses = [log_loss(labels_N, probs_NC) for probs_NC in pooled]
        areas = [roc_auc_score(labels_N, p if classes > 2 else p[:, 1], multi_class="ovr") for p in pooled]
        for name, expected in (("nll", losses), ("auc", areas)):
            summary = {key: values[i] for key, values in asdict(got.metrics[name]).items()}
            assert summary == pytest.approx(
                {
                    "mean": np.mean(expected),
                    "sd": np.std(expected),
                    "min": min(expected),
                    "max": max(expected),
                    "p5": np.percentile(expected, 5),
                    "p95": np.percentile(expected, 95),
                }
            )


def test_the_last_size_is_the_whole_ensemble():
    log_probs_MNC, labels_N = members_of(predicted(80, members=5))
    pooled_NC = logsumexp(log_probs_MNC, axis=0) - np.log(5)
    got = curve(log_probs_MNC, labels_N)

    for metric in HEADLINE:
        expected = value_of(metric.statistic(pooled_NC, labels_N), 80)
        assert got.metrics[metric.name].max[-1] == pytest.approx(expected)
        assert got.metrics[metric.name].sd[-1] == 0


@pytest.mark.parametrize(
    ("members", "sizes", "subsets"),
    [
        (10, [*range(1, 11)], [10, *[30] * 7, 10, 1]),
        (11, [1, 2, 3, 5, 7, 10, 11], [11, 30, 30, 30, 30, 11, 1]),
        (50, [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 50], [*[30] * 10, 1]),
    ],
)
def test_sizes_are_thinned_and_subsets_drawn(members, sizes, subsets):
    got = curve(*members_of(predicted(20, members=members)), metrics=NLL)

    assert got.sizes == tuple(sizes)
    assert got.subsets == tuple(subsets)


def test_random_subsets_are_distinct():
    log_probs_MNC, labels_N = members_of(predicted(30, members=6))
    some = [curve(log_probs_MNC, labels_N, metrics=NLL, subsets=14, seed=seed) for seed in range(5)]
    every = curve(log_probs_MNC, labels_N, metrics=NLL, subsets=15)

    assert some[0].subsets == (6, 14, 14, 14, 6, 1)
    # 14 of 15 distinct pairs: their sum lacks exactly one pair's value.
    pairs = [np.exp(log_probs_MNC)[list(pair)].mean(axis=0) for pair in combinations(range(6), 2)]
    values = [log_loss(labels_N, probs_NC) for probs_NC in pairs]
    for each in some:
        missing = 15 * every.metrics["nll"].mean[1] - 14 * each.metrics["nll"].mean[1]
        assert np.abs(np.array(values) - missing).min() < 1e-9
    assert len({each.metrics["nll"].mean[1] for each in some}) > 1


@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([0.5, 3.0]))
def test_enough_is_the_smallest_size_with_most_of_the_gain(seed, members, noise):
    got = curve(*members_of(predicted(25, members=members, seed=seed, noise=noise)), metrics=NLL)
    mean = got.metrics["nll"].mean

    having = [k for k, value in zip(got.sizes, mean, strict=True) if mean[0] - value >= 0.95 * (mean[0] - mean[-1])]
    assert got.enough == having[0]  # the mean of members loses to their pool: there is always a gain


def test_the_answer_in_words():
    log_probs_MNC, labels_N = members_of(predicted(300, members=10, noise=2.0))
    many = curve(log_probs_MNC, labels_N, metrics=NLL)
    same = curve(log_probs_MNC[[0, 0, 0]], labels_N, metrics=NLL)
    two = curve(log_probs_MNC[:2], labels_N, metrics=NLL)
    one = curve(log_probs_MNC[:1], labels_N, metrics=NLL)

    first, last = many.metrics["nll"].mean[0], many.metrics["nll"].mean[-1]
    assert many.answer == (
        f"{many.enough} of 10 members have 95% of the gain in NLL "
        f"(NLL {first:.3f} with one member, {last:.3f} with all 10)."
    )
    assert 2 < many.enough < 10
    assert same.enough is None
    assert same.answer.startswith("More members do not lower the NLL here")
    assert two.enough == 2
    assert two.answer.startswith("All 2 members are needed for 95% of the gain")
    assert one.enough is None
    assert one.answer.startswith("There is one member only")


def test_probabilities_beyond_the_range_of_float_pool_in_log_space():
    """Members 0 and 1 give class 1 about exp(-1000), member 2 gives it everything."""
    log_probs_MNC = log_softmax(np.array([[[0.0, -1000.0]], [[0.0, -1001.0]], [[-1000.0, 0.0]]]))
    got = curve(log_probs_MNC, np.array([1]), metrics=NLL).metrics["nll"]

    assert got.max[0] == pytest.approx(1001)
    assert got.max[1] == pytest.approx(np.log(2) - np.logaddexp(-1000, -1001))


def test_an_undefined_metric_is_none_throughout():
    log_probs_MNC, _ = members_of(predicted(10))
    got = curve(log_probs_MNC, np.zeros(10, dtype=np.int64))

    assert got.metrics["auc"].mean == (None,) * 3
    assert None not in got.metrics["nll"].mean


def test_the_same_generator_gives_the_same_curve():
    log_probs_MNC, labels_N = members_of(predicted(30, members=8))

    assert curve(log_probs_MNC, labels_N, subsets=5) == curve(log_probs_MNC, labels_N, subsets=5)
