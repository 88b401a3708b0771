import numpy as np
import pytest
from scipy.stats import entropy as relative_entropy
from scipy.stats import pearsonr, spearmanr

from ensemble_uq_llm.evaluation.quality.calibration import ece
from ensemble_uq_llm.evaluation.quality.truth import truth_statistics
from ensemble_uq_llm.statistics.statistic import value_of


def values(probs_NC, true_probs_NC, labels_N, expected_entropy_N=None):
    statistics = truth_statistics(
        np.log(probs_NC), np.array(true_probs_NC), np.array(labels_N), expected_entropy_N=expected_entropy_N
    )
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
            "calibration_error": 0.0,
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


@pytest.mark.parametrize("classes", [2, 5])
def test_calibration_error_is_the_mean_gap_of_the_bins(classes):
    rng = np.random.default_rng(classes)
    probs_NC, truth_NC = rng.dirichlet(np.full(classes, 0.6), size=(2, 80))
    bins = {}
    for probs, truth in zip(probs_NC.tolist(), truth_NC.tolist(), strict=True):
        bins.setdefault(min(int(max(probs) * 15), 14), []).append(max(probs) - truth[probs.index(max(probs))])

    expected = sum(abs(sum(gaps)) for gaps in bins.values()) / 80
    assert values(probs_NC, truth_NC, [0] * 80)["calibration_error"] == pytest.approx(expected)


def test_calibration_error_is_the_ece_without_luck_with_the_labels():
    rng = np.random.default_rng(0)
    truth_NC = rng.dirichlet(np.ones(2), size=40_000)
    logits_NC = 2 * np.log(truth_NC)
    probs_NC = np.exp(logits_NC) / np.exp(logits_NC).sum(axis=1, keepdims=True)
    labels_N = (rng.random(40_000) < truth_NC[:, 1]).astype(int)

    with_labels = ece(np.log(probs_NC))(np.ones((1, 40_000)), labels_N[None])[0]
    assert values(probs_NC, truth_NC, labels_N)["calibration_error"] == pytest.approx(with_labels, abs=0.01)
    assert values(truth_NC, truth_NC, labels_N)["calibration_error"] == 0.0


@pytest.mark.parametrize("classes", [2, 5])
def test_expected_entropy_against_the_true_one(classes):
    rng = np.random.default_rng(classes)
    probs_NC, truth_NC = rng.dirichlet(np.ones(classes), size=(2, 60))
    true_entropy_N = relative_entropy(truth_NC, axis=1)
    expected_entropy_N = true_entropy_N + 0.2 * rng.random(60)
    got = values(probs_NC, truth_NC, [0] * 60, expected_entropy_N)

    assert got["aleatoric_correlation"] == pytest.approx(pearsonr(expected_entropy_N, true_entropy_N)[0])
    assert got["aleatoric_rank_correlation"] == pytest.approx(spearmanr(expected_entropy_N, true_entropy_N)[0])
    assert got["aleatoric_gap"] == pytest.approx((expected_entropy_N - true_entropy_N).mean())


def test_mirrored_truths_have_one_entropy():
    truth_NC = [[0.9, 0.1], [0.1, 0.9], [0.7, 0.3], [0.3, 0.7], [0.05, 0.95], [0.95, 0.05], [1.0, 0.0]]
    got = values([[0.4, 0.6]] * 7, truth_NC, [0] * 7, np.array([0.32, 0.34, 0.6, 0.6, 0.2, 0.1, 0.0]))
    expected = spearmanr([0.32, 0.34, 0.6, 0.6, 0.2, 0.1, 0.0], [2, 2, 3, 3, 1, 1, 0]).statistic

    assert got["aleatoric_rank_correlation"] == pytest.approx(expected)
    constant = values(truth_NC[:2], truth_NC[:2], [0, 0], np.array([0.1, 0.2]))
    assert np.isnan([constant["aleatoric_correlation"], constant["aleatoric_rank_correlation"]]).all()
    assert constant["aleatoric_gap"] == pytest.approx(0.15 - relative_entropy([0.9, 0.1]))


def test_without_the_expected_entropy_nothing_is_said_of_it():
    assert not any(name.startswith("aleatoric") for name in values([[0.4, 0.6]], [[0.2, 0.8]], [1]))
