import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as reference
from hypothesis import given
from hypothesis import strategies as st
from small_predictions import predicted

from ensemble_uq_llm.inference import metrics
from ensemble_uq_llm.inference.metrics import METRICS, confidence_bin
from ensemble_uq_llm.inference.statistic import value_of
from ensemble_uq_llm.inference.uncertainty import measure_uncertainty


def pooled(**world):
    predictions = predicted(**world)
    return measure_uncertainty(predictions.logits_MNC).log_probs_NC, predictions.labels_N


def value(metric, log_probs_NC, labels_N):
    return value_of(metric(log_probs_NC, labels_N), len(labels_N))


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_agree_with_scikit_learn(seed):
    log_probs_NC, labels_N = pooled(n=200, seed=seed)
    p_yes_N = np.exp(log_probs_NC[:, 1])

    assert value(metrics.accuracy, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.accuracy_score(labels_N, p_yes_N > 0.5)
    )
    assert value(metrics.auc, log_probs_NC, labels_N) == pytest.approx(sklearn.metrics.roc_auc_score(labels_N, p_yes_N))
    assert value(metrics.average_precision, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.average_precision_score(labels_N, p_yes_N)
    )
    assert value(metrics.nll, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.log_loss(labels_N, np.exp(log_probs_NC))
    )
    assert value(metrics.brier, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.brier_score_loss(labels_N, p_yes_N)
    )


@pytest.mark.parametrize("seed", range(5))
def test_four_classes_agree_with_scikit_learn(seed):
    log_probs_NC, labels_N = pooled(n=200, classes=4, seed=seed)
    probs_NC = np.exp(log_probs_NC)

    assert value(metrics.auc, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.roc_auc_score(labels_N, probs_NC, multi_class="ovr")
    )
    assert value(metrics.average_precision, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.average_precision_score(labels_N, probs_NC)
    )
    assert value(metrics.nll, log_probs_NC, labels_N) == pytest.approx(sklearn.metrics.log_loss(labels_N, probs_NC))
    assert value(metrics.brier, log_probs_NC, labels_N) == pytest.approx(
        sklearn.metrics.brier_score_loss(labels_N, probs_NC, labels=range(4), scale_by_half="auto")
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_ece_agrees_with_torchmetrics_below_certainty(classes):
    log_probs_NC, labels_N = pooled(n=500, classes=classes, seed=classes)
    expected = reference.multiclass_calibration_error(
        torch.from_numpy(np.exp(log_probs_NC)), torch.from_numpy(labels_N), num_classes=classes, n_bins=15
    )

    assert np.exp(log_probs_NC).max() < 1.0
    assert value(metrics.ece, log_probs_NC, labels_N) == pytest.approx(expected.item(), abs=1e-6)


def test_certainty_belongs_to_the_last_bin():
    """torchmetrics 1.9 puts it into a bin of its own and then reports a mean of two gaps instead of their sum."""
    assert confidence_bin(np.linspace(0, 1, 16)).tolist() == [*range(15), 14]
    log_probs_NC = np.log(np.array([[0.05, 0.95], [1e-300, 1.0]]))
    # The one bin is right half of the time and has confidence 0.975 on average.
    assert value(metrics.ece, log_probs_NC, np.array([0, 1])) == pytest.approx(0.475)


def test_closed_forms_of_a_perfect_and_of_a_clueless_predictor():
    labels_N = np.array([0, 1, 1, 0])
    perfect_NC = np.log(np.where(np.eye(2)[labels_N] == 1, 1.0, 1e-300))
    clueless_NC = np.log(np.full((4, 2), 0.5))

    got = {m.name: value(m.statistic, perfect_NC, labels_N) for m in METRICS}
    assert got == {"accuracy": 1, "auc": 1, "average_precision": 1, "nll": 0, "brier": 0, "ece": 0}
    got = {m.name: value(m.statistic, clueless_NC, labels_N) for m in METRICS}
    assert got == pytest.approx(
        {"accuracy": 0.5, "auc": 0.5, "average_precision": 0.5, "nll": np.log(2), "brier": 0.25, "ece": 0}
    )


def test_brier_sums_the_squared_errors_of_more_than_two_classes():
    log_probs_NC = np.log(np.array([[0.5, 0.3, 0.2]]))

    assert value(metrics.brier, log_probs_NC, np.array([1])) == pytest.approx(0.25 + 0.49 + 0.04)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["auc", "average_precision"])
def test_rankings_are_undefined_without_a_class(name, classes):
    log_probs_NC, labels_N = pooled(n=30, classes=classes)
    metric = next(metric for metric in METRICS if metric.name == name)

    assert np.isnan(value(metric.statistic, log_probs_NC, np.zeros_like(labels_N)))


def test_nll_of_a_certain_mistake_is_large_but_finite():
    log_probs_NC = measure_uncertainty(np.array([[[1e4, -1e4]]], dtype=np.float32)).log_probs_NC

    assert value(metrics.nll, log_probs_NC, np.array([1])) == pytest.approx(2e4)


def test_auc_keeps_the_order_of_saturated_probabilities():
    """p_yes rounds to 1 in float64 for both, their logits still tell them apart."""
    log_probs_NC = measure_uncertainty(np.array([[[0, 50], [0, 60]]], dtype=np.float32)).log_probs_NC

    assert np.exp(log_probs_NC[:, 1]).tolist() == [1.0, 1.0]
    assert value(metrics.auc, log_probs_NC, np.array([0, 1])) == 1.0


@given(st.integers(0, 10**6), st.sampled_from([2, 3]))
def test_the_order_of_examples_does_not_matter(seed, classes):
    log_probs_NC, labels_N = pooled(n=25, classes=classes, seed=seed)
    order_N = np.random.default_rng(seed).permutation(25)

    for metric in METRICS:
        plain = value(metric.statistic, log_probs_NC, labels_N)
        shuffled = value(metric.statistic, log_probs_NC[order_N], labels_N[order_N])
        assert shuffled == pytest.approx(plain, nan_ok=True), metric.name


def test_the_table_lists_the_promised_metrics_once():
    names = [metric.name for metric in METRICS]

    assert names == ["accuracy", "auc", "average_precision", "nll", "brier", "ece"]
    assert {metric.name for metric in METRICS if metric.higher_is_better} == {"accuracy", "auc", "average_precision"}
