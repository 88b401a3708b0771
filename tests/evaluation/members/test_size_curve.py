from dataclasses import asdict
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import log_loss, roc_auc_score

from ensemble_uq_llm.evaluation.members.size_curve import _draw_subsets, size_curve
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
        (11, [1, 2, 3, 5, 7, 10, 11], [11, 22, 22, 22, 22, 11, 1]),
        (50, [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 50], [*[25] * 10, 1]),
    ],
)
def test_sizes_are_thinned_and_subsets_drawn(members, sizes, subsets):
    got = curve(*members_of(predicted(20, members=members)), metrics=NLL)

    assert got.sizes == tuple(sizes)
    assert got.subsets == tuple(subsets)


def test_random_subsets_hold_every_member_equally_often():
    """So the mean over subsets of what is a sum over members is that over all members, for every size."""
    log_probs_MNC, labels_N = members_of(predicted(30, members=9))
    weights_M = np.arange(9.0)
    for seed in range(3):
        drawn = _draw_subsets(9, range(1, 10), 27, np.random.default_rng(seed))
        for size, subsets in enumerate(drawn, start=1):
            assert {len(set(subset)) for subset in subsets} == {size}
            assert np.mean([weights_M[list(subset)].mean() for subset in subsets]) == pytest.approx(4.0)
    some = [curve(log_probs_MNC, labels_N, metrics=NLL, seed=seed) for seed in range(3)]
    assert len({each.metrics["nll"].mean[4] for each in some}) > 1


def test_every_random_subset_lies_in_one_of_the_next_size():
    drawn = _draw_subsets(12, (3, 5, 7, 9), 24, np.random.default_rng(0))
    for smaller, larger in pairwise(drawn):
        assert all(any(set(subset) < set(other) for other in larger) for subset in smaller)


def test_added_is_the_difference_between_sizes():
    log_probs_MNC, labels_N = members_of(predicted(60, members=4, noise=2.0))
    got = curve(log_probs_MNC, labels_N, draws=100)

    assert list(got.added) == ["accuracy", "nll", "brier"]
    for name, changes in got.added.items():
        steps = np.diff(got.metrics[name].mean)
        assert [change.value for change in changes] == pytest.approx(steps)


def test_sizes_that_were_left_out_are_allowed_for():
    log_probs_MNC, labels_N = members_of(predicted(60, members=12, noise=2.0))
    got = curve(log_probs_MNC, labels_N, draws=50)

    per_member = np.diff(got.metrics["nll"].mean) / np.diff(got.sizes)
    assert [change.value for change in got.added["nll"]] == pytest.approx(per_member)


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
