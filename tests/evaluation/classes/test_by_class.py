import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.classes.by_class import (
    LARGEST_MATRIX,
    balanced_accuracy,
    class_family,
    macro_f1,
    measure_classes,
)
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.statistics.bootstrap import resample
from ensemble_uq_llm.statistics.statistic import value_of

CLASSES = 4
answered = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1), st.integers(0, 3)), min_size=1, max_size=40
)


def sure_of(answers_N, classes=CLASSES):
    """Log-probabilities whose most probable class is the answer."""
    return np.log(0.9 * np.eye(classes)[answers_N] + 0.1 / classes)


def measured(labels_N, answers_N, *, classes=CLASSES, draws=0):
    family = class_family(sure_of(answers_N, classes), labels_N)
    resampled = resample(family, sizes=[len(labels_N)], draws=draws, seed=0)
    return measure_classes(answers_N, labels_N, resampled, classes=classes)


@given(answered)
def test_weights_agree_with_scikit_learn_whatever_classes_are_there(rows):
    labels_N, answers_N, weights_N = (np.array(column) for column in zip(*rows, strict=True))
    assume(weights_N.any())
    weights_DN = weights_N[None].astype(np.float64)
    there = weights_N > 0  # scikit-learn would count a class that has no weight
    by_sklearn = {"y_true": labels_N[there], "y_pred": answers_N[there], "sample_weight": weights_N[there]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an answer that is no label
        recall = sklearn.metrics.balanced_accuracy_score(**by_sklearn)
    f1 = sklearn.metrics.f1_score(**by_sklearn, average="macro", zero_division=0)

    log_probs_NC = sure_of(answers_N)
    assert balanced_accuracy(log_probs_NC, labels_N)(weights_DN)[0] == pytest.approx(recall)
    assert macro_f1(log_probs_NC, labels_N)(weights_DN)[0] == pytest.approx(f1)

    columns = sklearn.metrics.precision_recall_fscore_support(
        **by_sklearn, labels=range(CLASSES), zero_division=np.nan
    )[:3]
    got = class_family(log_probs_NC, labels_N)(weights_DN)
    for name, expected_C in zip(("precision", "recall", "f1"), columns, strict=True):
        assert [got[name, c][0] for c in range(CLASSES)] == pytest.approx(expected_C.tolist(), nan_ok=True), name


def test_a_weight_of_two_is_the_example_twice():
    rng = np.random.default_rng(0)
    labels_N, answers_N, weights_N = rng.integers(CLASSES, size=(3, 50))
    twice_N = np.repeat(np.arange(50), weights_N)

    for metric in (balanced_accuracy, macro_f1):
        weighted = metric(sure_of(answers_N), labels_N)(weights_N[None].astype(np.float64))[0]
        repeated = value_of(metric(sure_of(answers_N[twice_N]), labels_N[twice_N]), len(twice_N))
        assert weighted == pytest.approx(repeated)


@pytest.mark.parametrize("classes", [2, 77])
def test_counts_shares_and_confusions(classes):
    rng = np.random.default_rng(1)
    labels_N = rng.integers(classes, size=400)
    answers_N = np.where(rng.random(400) < 0.6, labels_N, rng.integers(classes, size=400))
    by_class = measured(labels_N, answers_N, classes=classes)

    expected_CC = sklearn.metrics.confusion_matrix(labels_N, answers_N, labels=range(classes))
    assert by_class.matrix == tuple(map(tuple, expected_CC.tolist()))
    assert [each.n for each in by_class.classes] == expected_CC.sum(axis=1).tolist()
    assert [each.answered for each in by_class.classes] == expected_CC.sum(axis=0).tolist()
    assert sum(each.share for each in by_class.classes) == pytest.approx(1)
    counts = [each.n for each in by_class.largest_confusions]
    wrong_CC = expected_CC - np.diag(expected_CC.diagonal())
    assert counts == sorted(wrong_CC[wrong_CC > 0].tolist(), reverse=True)[:20]
    assert all(expected_CC[each.label, each.answer] == each.n for each in by_class.largest_confusions)


def test_what_no_resampling_can_doubt_has_the_exact_interval_or_none():
    labels_N = np.repeat([0, 1, 2], [30, 30, 10])
    answers_N = np.where(np.arange(70) < 60, 0, 2)
    never, always = measured(labels_N, answers_N, classes=3, draws=200).classes[1:]

    assert (never.precision.value, never.precision.ci95) == (None, None)
    assert (never.recall.value, never.recall.ci95) == (0.0, clopper_pearson(0, 30))
    assert (always.recall.value, always.recall.ci95) == (1.0, clopper_pearson(10, 10))
    assert (always.f1.value, always.f1.ci95) == (1.0, None)


def test_intervals_come_from_the_draws():
    rng = np.random.default_rng(2)
    labels_N = rng.integers(2, size=300)
    answers_N = np.where(rng.random(300) < 0.8, labels_N, 1 - labels_N)
    first = measured(labels_N, answers_N, classes=2, draws=300).classes[0]

    for estimate in (first.precision, first.recall, first.f1):
        assert estimate.ci95[0] < estimate.value < estimate.ci95[1]
        assert 0.05 < np.ptp(estimate.ci95) < 0.2


def test_a_matrix_of_very_many_classes_is_left_out():
    labels_N = np.arange(LARGEST_MATRIX + 1)
    by_class = measured(labels_N, np.zeros_like(labels_N), classes=LARGEST_MATRIX + 1)

    assert by_class.matrix is None
    assert len(by_class.largest_confusions) == 20
