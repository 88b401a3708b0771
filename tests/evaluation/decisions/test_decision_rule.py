from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import EVERY_ROW
from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule
from ensemble_uq_llm.evaluation.decisions.fitted import fit_decisions
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from small_predictions import predicted

NAMES = ("no", "yes")


def certificate(threshold, score="one_minus_confidence"):
    group = CertifiedGroup(group=None, threshold=threshold, rows=100, wrong=20)
    return Certificate(target_risk=0.1, confidence=0.9, score=score, groups=(group,))


@pytest.fixture(scope="module")
def fitted():
    return fit_decisions(predicted(n=300, noise=0.5), name="calibration", rng=np.random.default_rng(0), draws=0)


def test_all_are_answered_as_the_members_say_where_nothing_was_fitted():
    new = predicted(n=20, seed=3)
    expected = measure_uncertainty(new.logits_MNC)
    answers = DecisionRule().answers(new, NAMES)
    assert answers.answered_N.all()
    assert answers.names == answers.labels == [NAMES[c] for c in expected.prediction_N]
    assert np.array_equal(answers.probs_NC, expected.probs_NC)
    assert np.array_equal(answers.probability_N, expected.confidence_N)
    assert (answers.score, answers.certificate) == ("one_minus_confidence", None)
    assert set(answers.why()) == {"no risk was named, so every question is answered"}
    assert repr(answers).startswith("GivenAnswers(20 of 20 questions answered: ")


@pytest.mark.parametrize("score", ["one_minus_confidence", "entropy", "mutual_information"])
def test_it_abstains_above_the_threshold_and_applies_the_temperature(fitted, score):
    new = predicted(n=50, seed=3)
    uncertainty = measure_uncertainty(new.logits_MNC)
    scores_N = {
        "one_minus_confidence": 1 - uncertainty.confidence_N,
        "entropy": uncertainty.entropy_N,
        "mutual_information": uncertainty.mutual_information_N,
    }[score]
    threshold = float(np.quantile(scores_N, 0.45))
    answers = DecisionRule(fitted=fitted, certificate=certificate(threshold, score)).answers(new, NAMES)

    assert np.array_equal(answers.answered_N, scores_N <= threshold)
    np.testing.assert_allclose(answers.scores_N, scores_N, atol=1e-12)
    tempered_NC = uncertainty.probs_NC ** (1 / fitted.temperatures.pooled.value)
    np.testing.assert_allclose(answers.probs_NC, tempered_NC / tempered_NC.sum(axis=1, keepdims=True), atol=1e-12)
    assert [each is None for each in answers.labels] == (~answers.answered_N).tolist()
    for why, yes in zip(answers.why(), answers.answered_N, strict=True):
        assert why.startswith(score)
        assert (" is at most " if yes else " is above ") in why


def test_a_promise_of_nothing_and_one_of_everything(fitted):
    new = predicted(n=5, seed=3)
    nothing = DecisionRule(fitted=fitted, certificate=certificate(None)).answers(new, NAMES)
    everything = DecisionRule(fitted=fitted, certificate=certificate(EVERY_ROW)).answers(new, NAMES)
    assert not nothing.answered_N.any()
    assert nothing.labels == [None] * 5
    assert set(nothing.why()) == {"nothing can be certified for a risk of 0.1"}
    assert everything.answered_N.all()
    assert set(everything.why()) == {"every question may be answered at a risk of 0.1"}


def test_other_members_are_refused(fitted):
    fewer = predicted(n=5, seed=3)
    fewer = replace(fewer, members=fewer.members[:1], logits_MNC=fewer.logits_MNC[:1])
    with pytest.raises(DataError, match="the set has no member of seed"):
        DecisionRule(fitted=fitted).answers(fewer, NAMES)
    with pytest.raises(DataError, match="without seed"):
        DecisionRule(fitted=fitted).check_made_by(fewer.members, None, classes=2)
    with pytest.raises(DataError, match="3 classes"):
        DecisionRule(fitted=fitted).check_made_by(fitted.members, None, classes=3)
    DecisionRule().check_made_by(fewer.members, None, classes=3)  # nothing was fitted
