import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.quality import metrics
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS, metrics_for
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.statistics.statistic import value_of
from small_predictions import predicted


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


def test_closed_forms_of_a_perfect_and_of_a_clueless_predictor():
    labels_N = np.array([0, 1, 1, 0])
    perfect_NC = np.log(np.where(np.eye(2)[labels_N] == 1, 1.0, 1e-300))
    clueless_NC = np.log(np.full((4, 2), 0.5))

    errors = ("ece", "equal_mass_ece", "classwise_ece", "mce", "smooth_ece", "binary_ece")
    of_labels = {"brier_uncertainty": 0.25, "brier_within_bins": 0.0}
    best = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "auc", "average_precision"), 1.0) | {
        "nll": 0.0,
        "brier": 0.0,
    }
    best |= {"brier_reliability": 0.0, "brier_resolution": 0.25}
    chance = dict.fromkeys(("accuracy", "balanced_accuracy", "auc", "average_precision"), 0.5)
    chance |= {"macro_f1": 1 / 3, "nll": np.log(2), "brier": 0.25}  # one answer for all: F1 of 2/3 and of 0
    chance |= {"brier_reliability": 0.0, "brier_resolution": 0.0}

    got = {m.name: value(m.statistic, perfect_NC, labels_N) for m in METRICS}
    assert got == pytest.approx(dict.fromkeys(errors, 0.0) | best | of_labels, abs=1e-15)
    got = {m.name: value(m.statistic, clueless_NC, labels_N) for m in METRICS}
    assert got == pytest.approx(dict.fromkeys(errors, 0.0) | chance | of_labels)


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

    for metric in metrics_for(classes):
        plain = value(metric.statistic, log_probs_NC, labels_N)
        shuffled = value(metric.statistic, log_probs_NC[order_N], labels_N[order_N])
        assert shuffled == pytest.approx(plain, nan_ok=True), metric.name


def test_the_table_lists_the_promised_metrics_once():
    names = [metric.name for metric in METRICS]

    errors = ["ece", "equal_mass_ece", "classwise_ece", "mce", "smooth_ece", "binary_ece"]
    parts = ["brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins"]
    by_class = ["balanced_accuracy", "macro_f1"]
    assert names == ["accuracy", *by_class, "auc", "average_precision", "nll", "brier", *errors, *parts]
    assert [metric.name for metric in HEADLINE] == ["accuracy", "auc", "average_precision", "nll", "brier", "ece"]
    assert {metric.name for metric in METRICS if metric.calibration} == {*errors, "brier_reliability"}
    higher = {metric.name for metric in METRICS if metric.higher_is_better}
    assert higher == {"accuracy", *by_class, "auc", "average_precision", "brier_resolution"}


@pytest.mark.parametrize("classes", [2, 3])
def test_only_the_error_of_class_1_needs_two_classes(classes):
    left_out = {metric.name for metric in METRICS} - {metric.name for metric in metrics_for(classes)}

    assert left_out == (set() if classes == 2 else {"binary_ece"})
    log_probs_NC, labels_N = pooled(n=40, classes=classes)
    for metric in metrics_for(classes):
        assert np.isfinite(value(metric.statistic, log_probs_NC, labels_N)), metric.name


@pytest.mark.parametrize("classes", [2, 3])
def test_a_calibration_error_is_the_metric_for_the_labels_as_they_are(classes):
    log_probs_NC, labels_N = pooled(n=40, classes=classes)
    weights_DN = np.random.default_rng(0).integers(1, 4, size=(3, 40)).astype(float)

    for metric in metrics_for(classes):
        if metric.calibration:
            error_D = metric.calibration(log_probs_NC)(weights_DN, np.stack([labels_N] * 3))
            assert metric.statistic(log_probs_NC, labels_N)(weights_DN) == pytest.approx(error_D), metric.name


def test_what_noise_can_only_raise_is_centred():
    """Of a calibrated predictor every error is noise, and a resampling of its labels is noisier."""
    rng = np.random.default_rng(0)
    p_yes_N = rng.random(300)
    log_probs_NC = np.log(np.stack([1 - p_yes_N, p_yes_N], axis=1))
    labels_N = (rng.random(300) < p_yes_N).astype(int)
    weights_DN = rng.multinomial(300, np.full(300, 1 / 300), size=300).astype(float)

    for metric in METRICS:
        statistic = metric.statistic(log_probs_NC, labels_N)
        if metric.calibration:
            assert metric.centred
            assert statistic(weights_DN).mean() > value_of(statistic, 300), metric.name
        assert not metric.centred or (statistic(weights_DN) >= 0).all(), metric.name


@pytest.mark.parametrize("classes", [2, 3])
def test_the_family_gives_every_metric_as_it_is_alone(classes):
    log_probs_NC, labels_N = pooled(n=50, classes=classes)
    weights_DN = np.random.default_rng(0).integers(3, size=(4, 50)).astype(float)
    together = metrics.quality_family(log_probs_NC, labels_N)(weights_DN)

    assert list(together) == [metric.name for metric in metrics.metrics_for(classes)]
    for metric in metrics.metrics_for(classes):
        alone_D = metric.statistic(log_probs_NC, labels_N)(weights_DN)
        assert together[metric.name] == pytest.approx(alone_D, rel=1e-12), metric.name
