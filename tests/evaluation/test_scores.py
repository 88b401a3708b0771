import numpy as np
import pytest
import scipy.stats

from ensemble_uq_llm.evaluation.scores import (
    ANSWER_MASS,
    BASELINE,
    OF_DISAGREEMENT,
    SCORES,
    scores_to_abstain_by,
    scores_to_rank,
    uncertainty_scores,
)
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from small_predictions import predicted

NAMES = [score.name for score in SCORES]


def measured(**world):
    return measure_uncertainty(predicted(**world).logits_MNC)


def test_the_table_starts_with_the_baseline_and_names_every_score_once():
    assert NAMES[0] == BASELINE
    for field in ("name", "title"):
        assert len({getattr(score, field) for score in SCORES}) == len(SCORES), field


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("classes", [2, 4])
def test_scores_equal_their_definitions_in_plain_probabilities(members, classes):
    uncertainty = measured(n=40, members=members, classes=classes)
    exp_MNC = np.exp(predicted(n=40, members=members, classes=classes).logits_MNC.astype(np.float64))
    probs_MNC = exp_MNC / exp_MNC.sum(axis=2, keepdims=True)
    pooled_NC = probs_MNC.mean(axis=0)
    class_N = pooled_NC.argmax(axis=1)
    sorted_NC = np.sort(pooled_NC, axis=1)
    own_MN = probs_MNC[:, np.arange(40), class_N]
    entropy_N = scipy.stats.entropy(pooled_NC, axis=1)
    expected_entropy_N = scipy.stats.entropy(probs_MNC, axis=2).mean(axis=0)
    divergence_N = np.mean([[scipy.stats.entropy(p, q, axis=1) for q in probs_MNC] for p in probs_MNC], axis=(0, 1))

    expected = {
        "one_minus_confidence": 1 - sorted_NC[:, -1],
        "margin": 1 - (sorted_NC[:, -1] - sorted_NC[:, -2]),
        "entropy": entropy_N,
        "expected_entropy": expected_entropy_N,
        "mutual_information": entropy_N - expected_entropy_N,
        "variance": probs_MNC.var(axis=0).mean(axis=1),
        "expected_pairwise_kl": divergence_N,
        "disagreement": (probs_MNC.argmax(axis=2) != class_N).mean(axis=0),
        "spread": own_MN.max(axis=0) - own_MN.min(axis=0),
    }
    scores = uncertainty_scores(uncertainty)
    assert list(scores) == list(expected) == NAMES
    for name, score_N in scores.items():
        assert score_N.dtype == np.float64
        assert score_N == pytest.approx(expected[name], abs=1e-12), name


def test_every_score_is_higher_where_members_are_torn():
    logits_MNC = np.array([[[5, 0, 0], [5, 0, 0]], [[5, 0, 0], [0, 4, 0]]], dtype=np.float32)
    scores = uncertainty_scores(measure_uncertainty(logits_MNC))

    assert all(torn > agreed for name, (agreed, torn) in scores.items() if name != "expected_entropy")


def test_a_single_member_has_no_epistemic_score_and_the_baseline_still_ranks():
    scores = uncertainty_scores(measured(n=30, members=1))

    for name in ("mutual_information", "variance", "expected_pairwise_kl", "disagreement", "spread"):
        assert (scores[name] == 0).all(), name
    assert len(set(scores[BASELINE])) == 30


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["one_minus_confidence", "margin", "entropy", "expected_entropy"])
def test_nearly_certain_answers_keep_their_order(name, classes):
    """From a gap of 37 on the probability is 1.0 and one minus it 0.0."""
    gaps_N = np.linspace(40, 700, 300)
    logits_MNC = np.zeros((2, 300, classes))
    logits_MNC[:, :, 0] = gaps_N
    uncertainty = measure_uncertainty(logits_MNC)

    assert (uncertainty.confidence_N == 1.0).all()
    assert (np.diff(uncertainty_scores(uncertainty)[name]) < 0).all()


def test_confidence_and_margin_rank_two_classes_alike():
    scores = uncertainty_scores(measured(n=200))

    assert (np.argsort(scores["margin"]) == np.argsort(scores["one_minus_confidence"])).all()


def test_scores_of_disagreement_are_those_that_one_member_lacks():
    single, several = (measure_uncertainty(predicted(n=30, members=m).logits_MNC) for m in (1, 3))

    zero = [name for name, score_N in uncertainty_scores(single).items() if not score_N.any()]
    assert tuple(zero) == OF_DISAGREEMENT
    assert all(score_N.any() for score_N in uncertainty_scores(several).values())
    assert scores_to_abstain_by(1) == ("one_minus_confidence", "margin", "entropy", "expected_entropy")
    assert scores_to_abstain_by(2) == tuple(score.name for score in SCORES)


def test_the_answer_mass_is_a_tenth_score_where_every_set_has_it():
    predictions = predicted(n=20, members=3)
    mass_MN = np.random.default_rng(3).uniform(size=(3, 20))
    known = measure_uncertainty(predictions.logits_MNC, answer_mass_MN=mass_MN)
    unknown = measure_uncertainty(predictions.logits_MNC)
    np.testing.assert_allclose(uncertainty_scores(known)[ANSWER_MASS.name], 1 - mass_MN.mean(0), rtol=1e-15)
    assert [*uncertainty_scores(known)] == [*(score.name for score in SCORES), "one_minus_answer_mass"]
    assert ANSWER_MASS.name not in uncertainty_scores(unknown)
    assert all(ANSWER_MASS.name in ranked for ranked in scores_to_rank(known, known))
    assert not any(ANSWER_MASS.name in ranked for ranked in scores_to_rank(known, unknown))
    some = known.take(np.array([4, 2]))
    np.testing.assert_array_equal(some.answer_mass_N, known.answer_mass_N[[4, 2]])
    assert unknown.take(np.array([1])).answer_mass_N is None


def test_the_answer_mass_finds_questions_that_the_model_would_not_answer():
    strange, usual = (
        measure_uncertainty(predicted(n=50, members=2).logits_MNC, answer_mass_MN=np.full((2, 50), mass))
        for mass in (0.1, 0.9)
    )
    found, missed = scores_to_rank(strange, usual)
    assert found[ANSWER_MASS.name].min() > missed[ANSWER_MASS.name].max()
