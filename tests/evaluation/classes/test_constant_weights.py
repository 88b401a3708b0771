import numpy as np
import pytest
from scipy.optimize import minimize

from ensemble_uq_llm.evaluation.classes.constant_weights import fitting_weights

OPTIONS_N = np.random.default_rng(0).choice([2, 3, 5], size=300)
LACKS_NC = np.arange(5) >= OPTIONS_N[:, None]


def nll(weights_C, labels_N, lacks_NC):
    shared_N = weights_C[labels_N] / np.where(lacks_NC, 0.0, weights_C).sum(axis=1)
    return -np.log(shared_N).mean()


def some_labels(seed):
    rng = np.random.default_rng(seed)
    return np.array([rng.integers(options) for options in OPTIONS_N])


def test_without_lacking_classes_they_are_the_frequencies():
    labels_N = np.repeat([0, 1, 3], [5, 3, 2])

    weights_C = fitting_weights(labels_N, np.zeros((10, 4), dtype=bool))

    assert weights_C == pytest.approx([0.5, 0.3, 0.0, 0.2])


def test_every_class_is_expected_as_often_as_it_is_the_label():
    labels_N = some_labels(1)
    weights_C = fitting_weights(labels_N, LACKS_NC)

    shared_NC = np.where(LACKS_NC, 0.0, weights_C)
    shared_NC /= shared_NC.sum(axis=1, keepdims=True)

    assert shared_NC.sum(axis=0) == pytest.approx(np.bincount(labels_N), abs=1e-6)
    assert weights_C.sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_other_weights_have_a_lower_nll(seed):
    labels_N = some_labels(seed)
    found = nll(fitting_weights(labels_N, LACKS_NC), labels_N, LACKS_NC)
    best = minimize(lambda logs_C: nll(np.exp(logs_C), labels_N, LACKS_NC), np.zeros(5))

    assert found == pytest.approx(best.fun, abs=1e-7)
    assert found < np.log(OPTIONS_N).mean()
    assert found < nll(np.bincount(labels_N) / 300, labels_N, LACKS_NC)


def test_a_class_that_is_always_right_where_it_is_there_has_nearly_all():
    labels_N = np.where(OPTIONS_N == 5, 4, 0)
    weights_C = fitting_weights(labels_N, LACKS_NC)

    assert weights_C[4] > 0.99
    assert nll(weights_C, labels_N, LACKS_NC) < 0.01
    assert np.flatnonzero(weights_C).tolist() == [0, 4]
