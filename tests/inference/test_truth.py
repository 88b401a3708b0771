import numpy as np
import pytest
from scipy.stats import entropy as relative_entropy

from ensemble_uq_llm.inference.statistic import value_of
from ensemble_uq_llm.inference.truth import truth_statistics


def values(probs_NC, true_probs_NC, labels_N):
    statistics = truth_statistics(np.log(probs_NC), np.array(true_probs_NC), np.array(labels_N))
    return {name: value_of(statistic, len(labels_N)) for name, statistic in statistics.items()}


def test_one_who_knows_the_truth():
    truth_NC = [[0.9, 0.1], [0.2, 0.8]]

    assert values(truth_NC, truth_NC, [0, 1]) == pytest.approx(
        {
            "mean_absolute_error": 0.0,
            "kl": 0.0,
            "bayes_accuracy": 0.85,
            "accuracy_of_bayes": 1 / 0.85,
            "bayes_decisions": 1.0,
        }
    )


def test_for_two_classes_the_error_is_that_of_p_yes():
    got = values([[0.7, 0.3], [0.5, 0.5]], [[0.9, 0.1], [1.0, 0.0]], [0, 0])

    assert got["mean_absolute_error"] == pytest.approx((0.2 + 0.5) / 2)


@pytest.mark.parametrize("classes", [2, 5])
def test_kl_agrees_with_scipy(classes):
    rng = np.random.default_rng(classes)
    probs_NC, truth_NC = rng.dirichlet(np.ones(classes), size=(2, 50))
    got = values(probs_NC, truth_NC, rng.integers(classes, size=50))

    assert got["kl"] == pytest.approx(relative_entropy(truth_NC, probs_NC, axis=1).mean())
    assert got["mean_absolute_error"] == pytest.approx(np.abs(probs_NC - truth_NC).mean())


def test_a_certain_truth_has_finite_divergence():
    assert values([[0.25, 0.75]], [[0.0, 1.0]], [1])["kl"] == pytest.approx(-np.log(0.75))


def test_a_tie_in_the_truth_matches_whatever_was_decided():
    got = values([[0.4, 0.6], [0.6, 0.4], [0.6, 0.4]], [[0.5, 0.5], [0.5, 0.5], [0.3, 0.7]], [0, 0, 0])

    assert got["bayes_decisions"] == pytest.approx(2 / 3)


def test_the_share_of_the_ceiling_is_over_labelled_examples_only():
    probs_NC, truth_NC = [[0.4, 0.6]] * 3, [[0.2, 0.8], [0.4, 0.6], [0.0, 1.0]]

    assert values(probs_NC, truth_NC, [1, 0, -1])["accuracy_of_bayes"] == pytest.approx(1 / (0.8 + 0.6))
    assert values(probs_NC, truth_NC, [1, 0, -1])["bayes_accuracy"] == pytest.approx(2.4 / 3)
    assert np.isnan(values(probs_NC, truth_NC, [-1, -1, -1])["accuracy_of_bayes"])
