import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ensemble_uq_llm.evaluation.uncertainty import log_softmax, measure_uncertainty
from small_predictions import predicted

PER_EXAMPLE = (
    "confidence_N",
    "margin_N",
    "variance_N",
    "entropy_N",
    "expected_entropy_N",
    "mutual_information_N",
    "expected_pairwise_kl_N",
    "disagreement_N",
    "spread_N",
)

logits = arrays(
    np.float32,
    array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=5),
    elements=st.floats(-1e4, 1e4, width=32),
)


def test_two_opposite_certain_members_disagree_by_ln_2():
    measured = measure_uncertainty(np.array([[[0.0, 1e4]], [[1e4, 0.0]]], dtype=np.float32))

    assert measured.probs_NC.tolist() == [[0.5, 0.5]]
    assert measured.entropy_N == pytest.approx([np.log(2)])
    assert measured.expected_entropy_N.tolist() == [0.0]
    assert measured.mutual_information_N == pytest.approx([np.log(2)])
    assert measured.variance_N == pytest.approx([0.25])
    assert measured.disagreement_N.tolist() == [0.5]
    assert measured.margin_N == pytest.approx([0.0])
    assert measured.spread_N.tolist() == [1.0]
    assert measured.expected_pairwise_kl_N == pytest.approx([1e4 / 2])  # 1e4 in two of four pairs


@pytest.mark.parametrize("members", [1, 2, 3, 7, 10])
def test_identical_members_have_no_epistemic_uncertainty_at_all(members):
    one_NC = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    measured = measure_uncertainty(np.stack([one_NC] * members))

    assert (measured.mutual_information_N == 0).all()
    assert (measured.expected_pairwise_kl_N == 0).all()
    assert (measured.variance_N == 0).all()
    assert (measured.spread_N == 0).all()
    assert (measured.disagreement_N == 0).all()
    assert (measured.probs_NC == np.exp(log_softmax(one_NC))).all()


def test_undecided_members_are_uncertain_without_disagreeing():
    measured = measure_uncertainty(np.zeros((4, 1, 3), dtype=np.float32))

    assert measured.entropy_N == pytest.approx([np.log(3)])
    assert measured.expected_entropy_N == pytest.approx([np.log(3)])
    assert measured.mutual_information_N.tolist() == [0.0]
    assert measured.prediction_N.tolist() == [0]


def test_definitions_on_numbers_worked_out_by_hand():
    probs_MC = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    measured = measure_uncertainty(np.log(probs_MC)[:, None, :])

    mean_C = np.array([0.6, 0.4])
    expected = -(probs_MC * np.log(probs_MC)).sum(axis=1).mean()
    total = -(mean_C * np.log(mean_C)).sum()
    assert measured.probs_NC[0] == pytest.approx(mean_C)
    assert measured.variance_N == pytest.approx([np.var([0.1, 0.4, 0.7])])  # Var_m p_yes
    assert measured.entropy_N == pytest.approx([total])
    assert measured.expected_entropy_N == pytest.approx([expected])
    assert measured.mutual_information_N == pytest.approx([total - expected])
    assert measured.prediction_N.tolist() == [0]
    assert measured.confidence_N == pytest.approx([0.6])
    assert measured.margin_N == pytest.approx([0.2])
    assert measured.spread_N == pytest.approx([0.6])
    assert measured.disagreement_N == pytest.approx([1 / 3])


def test_averaging_is_over_members_never_over_classes():
    """The mistake that made the first implementation's score 0.5 for every example."""
    measured = measure_uncertainty(predicted(n=50, classes=2).logits_MNC)

    assert measured.probs_NC.shape == (50, 2)
    assert measured.probs_NC.sum(axis=1) == pytest.approx(np.ones(50))
    assert np.ptp(measured.probs_NC[:, 1]) > 0.5


@given(logits)
def test_parts_sum_to_the_whole_and_keep_their_bounds(logits_MNC):
    measured = measure_uncertainty(logits_MNC)

    entropy_N, information_N = measured.entropy_N, measured.mutual_information_N
    assert entropy_N == pytest.approx(measured.expected_entropy_N + information_N, abs=1e-9)
    assert (information_N >= 0).all()
    assert (information_N <= entropy_N).all()
    assert (entropy_N <= np.log(logits_MNC.shape[2]) + 1e-12).all()
    assert (measured.variance_N <= 0.25 + 1e-12).all()
    assert np.isfinite(measured.log_probs_NC).all()
    assert all(np.isfinite(getattr(measured, name)).all() for name in PER_EXAMPLE)


@given(logits, st.randoms())
def test_the_order_of_members_and_examples_does_not_matter(logits_MNC, random):
    members, examples = (list(range(size)) for size in logits_MNC.shape[:2])
    random.shuffle(members)
    random.shuffle(examples)
    plain = measure_uncertainty(logits_MNC)
    shuffled = measure_uncertainty(logits_MNC[members][:, examples])

    for name in set(PER_EXAMPLE) - {"disagreement_N", "spread_N"}:  # a tie may break either way by rounding
        # Divergences of near-certain members are in the thousands of nats: of those the last digits may differ.
        assert getattr(shuffled, name) == pytest.approx(getattr(plain, name)[examples], rel=1e-12, abs=1e-12), name


@given(logits.filter(lambda logits_MNC: np.ptp(logits_MNC) < 700))
def test_expected_pairwise_kl_is_the_mean_over_all_ordered_pairs(logits_MNC):
    members, examples, _ = logits_MNC.shape
    probs_MNC = np.exp(log_softmax(logits_MNC))
    expected_N = np.zeros(examples)
    for p_NC in probs_MNC:
        for q_NC in probs_MNC:
            expected_N += scipy.special.rel_entr(p_NC, q_NC).sum(axis=1) / members**2

    assert measure_uncertainty(logits_MNC).expected_pairwise_kl_N == pytest.approx(expected_N, abs=1e-12)


@given(logits)
def test_pairs_of_members_diverge_no_less_than_members_from_their_mean(logits_MNC):
    measured = measure_uncertainty(logits_MNC)

    assert (measured.expected_pairwise_kl_N >= measured.mutual_information_N).all()


@given(logits)
def test_margin_and_spread_against_plain_loops(logits_MNC):
    measured = measure_uncertainty(logits_MNC)
    probs_MNC = np.exp(log_softmax(logits_MNC))

    for n, prediction in enumerate(measured.prediction_N):
        second, first = sorted(measured.probs_NC[n])[-2:]
        given_M = [probs_NC[n, prediction] for probs_NC in probs_MNC]
        assert measured.margin_N[n] == first - second
        assert measured.spread_N[n] == pytest.approx(max(given_M) - min(given_M), abs=1e-12)


def test_the_spread_of_nearly_certain_members_keeps_its_digits():
    gaps_M = np.array([40.0, 41.0, 43.0])
    logits_MNC = np.stack([gaps_M, np.zeros(3)], axis=1)[:, None, :]

    expected = scipy.special.expit(-40.0) - scipy.special.expit(-43.0)
    assert measure_uncertainty(logits_MNC).spread_N == pytest.approx([expected], rel=1e-12)


def test_log_softmax_is_finite_where_probabilities_underflow():
    log_probs = log_softmax(np.array([[3e38, -3e38]], dtype=np.float32))

    assert np.isfinite(log_probs).all()
    assert log_probs[0, 0] == 0.0
