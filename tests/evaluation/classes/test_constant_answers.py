import numpy as np
import pytest
import sklearn.dummy
import sklearn.metrics

from ensemble_uq_llm.evaluation.classes.constant_answers import COMPARED, constant_family, measure_constant
from ensemble_uq_llm.evaluation.quality.metrics import quality_family
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.statistics.bootstrap import resample
from small_predictions import predicted


def constant_of(labels_N, classes, log_probs_NC=None, draws=0):
    def numbers(family):
        return resample(family, sizes=[len(labels_N)], draws=draws, seed=0)

    if log_probs_NC is None:
        log_probs_NC = np.full((len(labels_N), classes), -np.log(classes))
    ensemble = numbers(quality_family(log_probs_NC, labels_N))
    answers_N = log_probs_NC.argmax(axis=1)
    return measure_constant(answers_N, labels_N, numbers(constant_family(labels_N, classes)), ensemble), ensemble


@pytest.mark.parametrize("classes", [2, 4])
def test_it_agrees_with_scikit_learns_dummies(classes):
    labels_N = np.random.default_rng(0).choice(
        classes, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum(), size=150
    )
    features = np.zeros((150, 1))
    prior = sklearn.dummy.DummyClassifier(strategy="prior").fit(features, labels_N)
    majority = sklearn.dummy.DummyClassifier(strategy="most_frequent").fit(features, labels_N)
    constant, _ = constant_of(labels_N, classes)

    assert constant.majority == majority.predict(features)[0]
    got = {name: each.value.value for name, each in constant.metrics.items()}
    probs_NC = prior.predict_proba(features)
    assert got == pytest.approx(
        {
            "accuracy": majority.score(features, labels_N),
            "nll": sklearn.metrics.log_loss(labels_N, probs_NC),
            "brier": sklearn.metrics.brier_score_loss(
                labels_N,
                probs_NC[:, 1] if classes == 2 else probs_NC,
                **({"labels": range(classes)} if classes > 2 else {}),
            ),
        }
    )


def test_a_class_that_is_never_a_label_costs_nothing():
    constant, _ = constant_of(np.array([0, 0, 2, 2, 2]), 4)
    entropy = -(0.4 * np.log(0.4) + 0.6 * np.log(0.6))

    assert constant.majority == 2
    assert constant.metrics["accuracy"].value.value == pytest.approx(0.6)
    assert constant.metrics["nll"].value.value == pytest.approx(entropy)
    assert constant.metrics["brier"].value.value == pytest.approx(1 - 0.4**2 - 0.6**2)


def test_the_first_of_two_commonest_classes_is_the_majority():
    constant, _ = constant_of(np.array([1, 0, 1, 0]), 2)

    assert constant.majority == 0
    assert constant.metrics["accuracy"].value.value == 0.5


def test_the_difference_is_paired_with_the_ensemble():
    predictions = predicted(n=300)
    log_probs_NC = measure_uncertainty(predictions.logits_MNC).log_probs_NC
    constant, ensemble = constant_of(predictions.labels_N, 2, log_probs_NC, draws=300)

    for metric in COMPARED:
        beside = constant.metrics[metric.name]
        assert beside.gain.value == pytest.approx(ensemble.values[metric.name] - beside.value.value)
        assert beside.gain.ci95[0] < beside.gain.value < beside.gain.ci95[1]
    right_N = log_probs_NC.argmax(axis=1) == predictions.labels_N
    differences_N = right_N.astype(float) - (predictions.labels_N == constant.majority)
    half_width = 1.96 * differences_N.std() / np.sqrt(300)
    assert np.ptp(constant.metrics["accuracy"].gain.ci95) / 2 == pytest.approx(half_width, rel=0.15)


def test_who_answers_alike_differs_by_nothing():
    labels_N = np.repeat([0, 1], [30, 10])
    always_NC = np.log(np.tile([0.75, 0.25], (40, 1)))
    constant, _ = constant_of(labels_N, 2, always_NC, draws=50)

    for beside in constant.metrics.values():
        assert beside.gain.value == pytest.approx(0, abs=1e-12)
        assert beside.gain.ci95 == pytest.approx((0, 0), abs=1e-12)


def test_two_examples_that_differ_are_no_evidence_however_many_there_are():
    """Two right answers more than always saying 0: signs alike come up in half of the cases."""
    labels_N = np.repeat([0, 1], [90, 10])
    answers_N = np.where(np.arange(100) < 92, labels_N, 0)
    constant, _ = constant_of(labels_N, 2, np.log(0.9 * np.eye(2)[answers_N] + 0.05), draws=300)

    assert constant.metrics["accuracy"].gain.value == pytest.approx(0.02)
    assert constant.metrics["accuracy"].gain.p_value >= 0.5
