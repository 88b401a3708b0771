from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from ensemble_uq_llm.evaluation.members.diversity import LARGEST_MATRIX, diversity_family, measure_diversity
from ensemble_uq_llm.evaluation.records import Pair
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.statistics.bootstrap import resample

MEMBERS = (MemberId(42), MemberId(42, 3), MemberId(13), MemberId(99, 1))
"""Two are samples of one seed."""


def answers(n, members, classes, *, seed):
    """Members that are right more often than not, and wrong on the same hard examples."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(classes, size=n)
    hard_N = rng.random(n)
    right_MN = rng.random((members, n)) > 0.6 * hard_N
    return np.where(right_MN, labels_N, rng.integers(classes, size=(members, n))), labels_N


def by_pair(predictions_MN, labels_N, rows):
    """Both measures of every pair in plain Python; None where undefined."""
    disagreement, correlation = {}, {}
    for i, j in combinations(range(len(predictions_MN)), 2):
        first, second = predictions_MN[i][rows].tolist(), predictions_MN[j][rows].tolist()
        disagreement[i, j] = sum(a != b for a, b in zip(first, second, strict=True)) / len(first)
        wrong = [predictions_MN[m][rows] != labels_N[rows] for m in (i, j)]
        varied = all(0 < each.sum() < len(each) for each in wrong)
        correlation[i, j] = pearsonr(*(each.astype(float) for each in wrong))[0] if varied else None
    return disagreement, correlation


def mean_of_defined(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else np.nan


@given(st.integers(0, 10**6), st.integers(2, 5), st.sampled_from([2, 4]), st.integers(1, 30))
def test_agrees_with_plain_python_for_examples_and_resamplings(seed, members, classes, n):
    predictions_MN, labels_N = answers(n, members, classes, seed=seed)
    counts_N = np.bincount(np.random.default_rng(seed).integers(n, size=n), minlength=n)
    got = diversity_family(predictions_MN, labels_N)(np.stack([np.ones(n), counts_N]).astype(np.float64))

    listed = [by_pair(predictions_MN, labels_N, rows) for rows in (np.arange(n), np.arange(n).repeat(counts_N))]
    assert got["disagreement"] == pytest.approx([np.mean(list(pairs.values())) for pairs, _ in listed])
    expected = [mean_of_defined(pairs.values()) for _, pairs in listed]
    assert got["error_correlation"] == pytest.approx(expected, nan_ok=True, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 5])
def test_every_pair(classes):
    predictions_MN, labels_N = answers(200, 4, classes, seed=classes)
    got = measure_diversity(predictions_MN, labels_N, members=MEMBERS, draws=100, seed=5)
    resampled = resample(diversity_family(predictions_MN, labels_N), sizes=[200], draws=100, seed=5)

    expected = by_pair(predictions_MN, labels_N, np.arange(200))
    for name, pairs, own in zip(("disagreement", "error_correlation"), expected, (0.0, 1.0), strict=True):
        matrix_MM = np.array(got[name].matrix)
        assert matrix_MM.diagonal() == pytest.approx(np.full(4, own))
        assert (matrix_MM == matrix_MM.T).all()
        assert [matrix_MM[pair] for pair in pairs] == pytest.approx(list(pairs.values()))
        least, most = min(pairs, key=pairs.get), max(pairs, key=pairs.get)
        assert got[name].min == Pair(value=pytest.approx(pairs[least]), members=tuple(MEMBERS[m] for m in least))
        assert got[name].max == Pair(value=pytest.approx(pairs[most]), members=tuple(MEMBERS[m] for m in most))
        assert got[name].mean == resampled.estimate(name)
        low, high = got[name].mean.ci95
        assert low < np.mean(list(pairs.values())) < high


def test_a_member_without_errors_has_no_correlation():
    labels_N = np.array([0, 1, 0, 1])
    predictions_MN = np.array([labels_N, [1, 1, 0, 1], [1, 0, 0, 1]])
    got = measure_diversity(predictions_MN, labels_N, members=trained((1, 2, 3)), draws=0)["error_correlation"]

    phi = pearsonr([1, 0, 0, 0], [1, 1, 0, 0])[0]
    assert got.matrix[0] == (None, None, None)
    assert got.mean.value == pytest.approx(phi)
    assert got.min == got.max == Pair(value=pytest.approx(phi), members=trained((2, 3)))


def test_no_member_errs():
    labels_N = np.array([0, 1, 0])
    got = measure_diversity(np.stack([labels_N] * 2), labels_N, members=trained((1, 2)), draws=50)

    assert got["error_correlation"].mean.value is None
    assert got["error_correlation"].mean.ci95 is None
    assert got["error_correlation"].min is None
    assert got["error_correlation"].matrix == ((None, None), (None, None))
    assert got["disagreement"].max.value == 0.0


def test_equal_members_and_opposite_members():
    labels_N = np.zeros(6, dtype=int)
    first_N = np.array([0, 1, 0, 1, 1, 0])

    same = measure_diversity(np.stack([first_N, first_N]), labels_N, members=trained((1, 2)), draws=0)
    opposite = measure_diversity(np.stack([first_N, 1 - first_N]), labels_N, members=trained((1, 2)), draws=0)
    assert (same["disagreement"].mean.value, same["error_correlation"].mean.value) == (
        0.0,
        pytest.approx(1),
    )
    assert opposite["disagreement"].mean.value == 1.0
    assert opposite["error_correlation"].mean.value == pytest.approx(-1)


def test_one_member_has_no_pairs():
    assert measure_diversity(np.zeros((1, 5), dtype=int), np.zeros(5, dtype=int), members=trained((1,))) == {}


def test_without_labels_there_are_no_errors():
    got = measure_diversity(np.array([[0, 1, 1], [0, 0, 1]]), None, members=trained((1, 2)), draws=10)

    assert list(got) == ["disagreement"]
    assert got["disagreement"].mean.value == pytest.approx(1 / 3)


def test_large_matrices_are_left_out():
    predictions_MN, labels_N = answers(30, LARGEST_MATRIX + 1, 2, seed=0)
    members = trained(range(LARGEST_MATRIX + 1))

    assert measure_diversity(predictions_MN, labels_N, members=members, draws=0)["disagreement"].matrix is None
    fewer = measure_diversity(predictions_MN[1:], labels_N, members=MEMBERS[1:], draws=0)
    assert len(fewer["error_correlation"].matrix) == LARGEST_MATRIX
