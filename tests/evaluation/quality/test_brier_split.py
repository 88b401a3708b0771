import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.quality.brier_split import brier_part, brier_reliability, brier_split
from ensemble_uq_llm.evaluation.quality.metrics import brier
from ensemble_uq_llm.statistics.statistic import value_of, values_of

PARTS = ("brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins")


def problem(seed, *, classes=3, levels=10**6, n=40):
    rng = np.random.default_rng(seed)
    parts_NC = rng.integers(1, levels + 1, size=(n, classes))
    log_probs_NC = np.log(parts_NC / parts_NC.sum(axis=1, keepdims=True))
    counts_N = np.bincount(rng.integers(n, size=n), minlength=n)
    return log_probs_NC, rng.integers(classes, size=n), np.stack([np.ones(n), counts_N, rng.random(n) + 0.01])


def by_hand(probabilities, outcomes, weights):
    """Stephenson et al. 2008, eq. 4 to 9, in plain Python."""
    bins = {}
    for row in zip(probabilities, outcomes, weights, strict=True):
        bins.setdefault(sum(row[0] >= b / 15 for b in range(1, 15)), []).append(row)
    total = sum(weights)
    overall = sum(w * o for o, w in zip(outcomes, weights, strict=True)) / total
    parts = dict.fromkeys(PARTS, 0.0) | {"brier_uncertainty": overall * (1 - overall)}
    for rows in bins.values():
        weight = sum(w for _, _, w in rows)
        if weight:
            forecast = sum(w * p for p, _, w in rows) / weight
            outcome = sum(w * o for _, o, w in rows) / weight
            parts["brier_reliability"] += weight * (forecast - outcome) ** 2 / total
            parts["brier_resolution"] += weight * (outcome - overall) ** 2 / total
            variance = sum(w * (p - forecast) ** 2 for p, _, w in rows) / total
            covariance = sum(w * (p - forecast) * (o - outcome) for p, o, w in rows) / total
            parts["brier_within_bins"] += variance - 2 * covariance
    return parts


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 5]), st.sampled_from([2, 6, 10**6]))
def test_agrees_with_plain_python_and_sums_to_the_score(seed, classes, levels):
    log_probs_NC, labels_N, weights_DN = problem(seed, classes=classes, levels=levels)
    probs_NC = np.exp(log_probs_NC)

    got = brier_split(log_probs_NC, labels_N)(weights_DN)
    score_D = brier(log_probs_NC, labels_N)(weights_DN)
    sum_D = got["brier_reliability"] - got["brier_resolution"] + got["brier_uncertainty"] + got["brier_within_bins"]
    assert sum_D == pytest.approx(score_D, abs=1e-12)
    for d, weights in enumerate(weights_DN.tolist()):
        each = [
            by_hand(probs_NC[:, c].tolist(), (labels_N == c).astype(int).tolist(), weights)
            for c in ([1] if classes == 2 else range(classes))
        ]
        for name in PARTS:
            assert got[name][d] == pytest.approx(sum(parts[name] for parts in each), abs=1e-12), name


@given(st.integers(0, 10**6), st.sampled_from([2, 4]))
def test_one_part_alone_is_the_same(seed, classes):
    log_probs_NC, labels_N, weights_DN = problem(seed, classes=classes)
    expected = brier_split(log_probs_NC, labels_N)(weights_DN)

    assert brier_reliability(log_probs_NC)(weights_DN, labels_N[None]) == pytest.approx(expected["brier_reliability"])
    for name in PARTS:
        assert np.array_equal(brier_part(name)(log_probs_NC, labels_N)(weights_DN), expected[name])


def test_reliability_for_labels_that_vary():
    log_probs_NC = problem(3, classes=4)[0]
    labels_DN = np.random.default_rng(4).integers(4, size=(6, 40))

    got = brier_reliability(log_probs_NC)(np.ones((1, 40)), labels_DN)
    expected = [values_of(brier_split(log_probs_NC, labels_N), 40)["brier_reliability"] for labels_N in labels_DN]
    assert got == pytest.approx(expected)


def test_closed_forms():
    labels_N = np.array([0, 1, 1, 0])
    perfect = values_of(brier_split(np.log(np.where(np.eye(2)[labels_N] == 1, 1.0, 1e-300)), labels_N), 4)
    clueless = values_of(brier_split(np.log(np.full((4, 2), 0.5)), labels_N), 4)
    wrong = values_of(brier_split(np.log(np.tile([0.2, 0.8], (4, 1))), labels_N), 4)

    assert [perfect[name] for name in PARTS] == [0.0, 0.25, 0.25, 0.0]
    assert [clueless[name] for name in PARTS] == [0.0, 0.0, 0.25, 0.0]
    assert [wrong[name] for name in PARTS] == pytest.approx([0.09, 0.0, 0.25, 0.0])


def test_what_finer_bins_would_resolve_lies_within_them():
    """Two probabilities of one bin that tell the classes apart: no resolution between bins, all within."""
    labels_N = np.array([0, 1])
    got = values_of(brier_split(np.log(np.array([[0.49, 0.51], [0.48, 0.52]])), labels_N), 2)

    assert got["brier_resolution"] == pytest.approx(0.0)
    assert got["brier_within_bins"] == pytest.approx(0.005**2 - 2 * 0.005 * 0.5)


def test_a_single_example_has_no_uncertainty_of_labels():
    got = values_of(brier_split(np.log(np.array([[0.3, 0.7]])), np.array([1])), 1)

    assert [got[name] for name in PARTS] == pytest.approx([0.09, 0.0, 0.0, 0.0])
    assert value_of(brier_part("brier_uncertainty")(np.log(np.array([[0.3, 0.7]])), np.array([0])), 1) == 0.0
