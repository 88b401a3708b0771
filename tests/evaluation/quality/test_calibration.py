import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as reference
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.quality.calibration import (
    against_labels,
    binary_ece,
    classwise_ece,
    confidence_bin,
    ece,
    equal_mass_bin,
    equal_mass_ece,
    mce,
)
from ensemble_uq_llm.statistics.statistic import value_of

ERRORS = (ece, equal_mass_ece, classwise_ece, mce)


def problem(seed, *, n=40, classes=3, levels=10**6):
    """Few levels make ties of confidence; weights are ones, counts of a resampling, and fractions."""
    rng = np.random.default_rng(seed)
    parts_NC = rng.integers(1, levels + 1, size=(n, classes))
    log_probs_NC = np.log(parts_NC / parts_NC.sum(axis=1, keepdims=True))
    labels_DN = rng.integers(classes, size=(3, n))
    counts_N = np.bincount(rng.integers(n, size=n), minlength=n)
    return log_probs_NC, np.stack([np.ones(n), counts_N, rng.random(n) + 0.01]), labels_DN


def value(make, log_probs_NC, labels_N):
    return value_of(against_labels(make)(log_probs_NC, np.asarray(labels_N)), len(labels_N))


def width_bin(probability):
    return sum(probability >= b / 15 for b in range(1, 15))


def gaps_by_hand(probabilities, outcomes, weights, bins):
    """Return every filled bin's weight and |mean probability - frequency|, in plain Python."""
    gaps = []
    for b in set(bins):
        inside = [i for i, other in enumerate(bins) if other == b]
        weight = sum(weights[i] for i in inside)
        if weight:
            mean = sum(weights[i] * probabilities[i] for i in inside) / weight
            gaps.append((weight, abs(mean - sum(weights[i] * outcomes[i] for i in inside) / weight)))
    return gaps


def mean_by_hand(gaps):
    return sum(weight * gap for weight, gap in gaps) / sum(weight for weight, _ in gaps)


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 5]), st.sampled_from([2, 6, 10**6]))
def test_binned_errors_agree_with_plain_python(seed, classes, levels):
    log_probs_NC, weights_DN, labels_DN = problem(seed, classes=classes, levels=levels)
    probs_NC = np.exp(log_probs_NC)
    confidences = np.exp(log_probs_NC.max(axis=1)).tolist()
    bins = [width_bin(confidence) for confidence in confidences]

    got = {make.__name__: make(log_probs_NC)(weights_DN, labels_DN) for make in ERRORS}
    for d, (weights, labels) in enumerate(zip(weights_DN.tolist(), labels_DN.tolist(), strict=True)):
        correct = [int(probs_C.argmax() == label) for probs_C, label in zip(probs_NC, labels, strict=True)]
        top = gaps_by_hand(confidences, correct, weights, bins)
        assert got["ece"][d] == pytest.approx(mean_by_hand(top))
        assert got["mce"][d] == pytest.approx(max(gap for _, gap in top))
        equal = gaps_by_hand(confidences, correct, weights, equal_mass_bin(np.array(confidences)).tolist())
        assert got["equal_mass_ece"][d] == pytest.approx(mean_by_hand(equal))
        by_class = []
        for c in range(classes):
            of_class, is_class = probs_NC[:, c].tolist(), [int(label == c) for label in labels]
            by_class.append(gaps_by_hand(of_class, is_class, weights, [width_bin(p) for p in of_class]))
        assert got["classwise_ece"][d] == pytest.approx(np.mean([mean_by_hand(gaps) for gaps in by_class]))
        if classes == 2:
            assert binary_ece(log_probs_NC)(weights_DN, labels_DN)[d] == pytest.approx(mean_by_hand(by_class[1]))


@pytest.mark.parametrize("classes", [2, 4])
def test_errors_agree_with_torchmetrics_below_certainty(classes):
    log_probs_NC, _, labels_DN = problem(classes, n=500, classes=classes)
    probs, labels = torch.from_numpy(np.exp(log_probs_NC)), torch.from_numpy(labels_DN[0])

    def theirs(norm):
        return reference.multiclass_calibration_error(probs, labels, num_classes=classes, n_bins=15, norm=norm).item()

    def theirs_of(c):
        return reference.binary_calibration_error(probs[:, c].float(), (labels == c).int(), n_bins=15).item()

    assert value(ece, log_probs_NC, labels_DN[0]) == pytest.approx(theirs("l1"), abs=1e-6)
    assert value(mce, log_probs_NC, labels_DN[0]) == pytest.approx(theirs("max"), abs=1e-6)
    each = [theirs_of(c) for c in range(classes)]
    assert value(classwise_ece, log_probs_NC, labels_DN[0]) == pytest.approx(np.mean(each), abs=1e-6)
    if classes == 2:
        assert value(binary_ece, log_probs_NC, labels_DN[0]) == pytest.approx(each[1], abs=1e-6)


def test_certainty_belongs_to_the_last_bin():
    """torchmetrics 1.9 puts it into a bin of its own and then reports a mean of two gaps instead of their sum."""
    assert confidence_bin(np.linspace(0, 1, 16)).tolist() == [*range(15), 14]
    log_probs_NC = np.log(np.array([[0.05, 0.95], [1e-300, 1.0]]))
    # The one bin is right half of the time and has confidence 0.975 on average.
    assert value(ece, log_probs_NC, [0, 1]) == pytest.approx(0.475)


@pytest.mark.parametrize("n", [15, 60, 3270])
def test_bins_of_equal_mass_are_a_sorted_list_cut_into_fifteen(n):
    probability_N = np.random.default_rng(n).permutation(n) / n
    bin_N = equal_mass_bin(probability_N)

    for b, part in enumerate(np.array_split(np.sort(probability_N), 15)):
        assert sorted(probability_N[bin_N == b]) == part.tolist()


@given(st.integers(1, 200), st.sampled_from([1, 3, 50]), st.integers(0, 10**6))
def test_bins_of_equal_mass_keep_equals_together_and_order(n, levels, seed):
    probability_N = np.random.default_rng(seed).integers(levels, size=n) / levels
    bin_N = equal_mass_bin(probability_N)

    assert ((bin_N >= 0) & (bin_N < 15)).all()
    order_N = np.argsort(probability_N, kind="stable")
    rises_N = np.diff(probability_N[order_N]) > 0
    assert (np.diff(bin_N[order_N])[~rises_N] == 0).all()
    assert (np.diff(bin_N[order_N])[rises_N] >= 0).all()


@given(st.integers(1, 200))
def test_bins_of_equal_mass_differ_by_one_example_at_most(n):
    counts = np.bincount(equal_mass_bin(np.random.default_rng(n).permutation(n) / n), minlength=15)

    assert counts.max() - counts.min() <= 1


def test_one_confidence_is_one_bin():
    log_probs_NC = np.log(np.tile([0.2, 0.8], (50, 1)))
    labels_N = (np.arange(50) < 30).astype(int)

    for make in (ece, equal_mass_ece, classwise_ece, mce, binary_ece):
        assert value(make, log_probs_NC, labels_N) == pytest.approx(0.2), make.__name__


def test_two_classes_have_two_errors_of_different_names():
    """Over- and underestimates of p_1 cancel within its bins, but not within those of the top label."""
    log_probs_NC = np.log(np.array([[0.3, 0.7], [0.7, 0.3]]))

    assert value(ece, log_probs_NC, [1, 1]) == pytest.approx(abs(0.7 - 0.5))
    assert value(binary_ece, log_probs_NC, [1, 1]) == pytest.approx((0.3 + 0.7) / 2)


def test_the_error_of_class_1_needs_two_classes():
    with pytest.raises(ValueError, match=r"3 classes, but binary_ece is for two; use classwise_ece"):
        binary_ece(np.log(np.full((4, 3), 1 / 3)))


@pytest.mark.parametrize("make", ERRORS)
def test_weights_and_labels_may_each_have_one_row(make):
    log_probs_NC, weights_DN, labels_DN = problem(7)
    error = make(log_probs_NC)

    assert error(weights_DN[:1], labels_DN[:1]).shape == (1,)
    for d in range(3):
        assert error(weights_DN, labels_DN[:1])[d] == error(weights_DN[d : d + 1], labels_DN[:1])[0]
        assert error(weights_DN[:1], labels_DN)[d] == error(weights_DN[:1], labels_DN[d : d + 1])[0]


def test_a_bin_that_a_draw_leaves_empty_has_no_gap():
    log_probs_NC = np.log(np.array([[0.1, 0.9], [0.45, 0.55]]))
    error = mce(log_probs_NC)

    assert error(np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([[0, 1]])) == pytest.approx([0.9, 0.45])


@pytest.mark.parametrize("make", ERRORS)
def test_a_single_example(make):
    log_probs_NC = np.log(np.array([[0.25, 0.75]]))

    assert value(make, log_probs_NC, [1]) == pytest.approx(0.25)
    assert value(make, log_probs_NC, [0]) == pytest.approx(0.75)
