import numpy as np

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from small_predictions import predicted, unlabelled


def test_all_but_the_uncertainty_is_of_the_labelled_examples():
    predictions = unlabelled(predicted(n=30, classes=3), first=12)
    measured = Measured.of(predictions)

    assert (measured.n, measured.classes) == (18, 3)
    assert len(measured.uncertainty.entropy_N) == 30
    assert measured.labels_N.tolist() == list(predictions.labels[12:])
    assert np.array_equal(measured.log_probs_NC, measured.uncertainty.log_probs_NC[12:])
    assert np.array_equal(measured.log_probs_MNC, log_softmax(predictions.logits_MNC)[:, 12:])
    assert np.array_equal(measured.confidence_N, np.exp(measured.log_probs_NC).max(axis=1))
    assert np.array_equal(measured.wrong_N, measured.log_probs_NC.argmax(axis=1) != measured.labels_N)
    assert set(measured.scores) == {score.name for score in SCORES}
    assert np.array_equal(measured.scores["entropy"], measured.uncertainty.entropy_N[12:])


def test_without_labels_there_is_nothing_to_score():
    measured = Measured.of(unlabelled(predicted(n=5)))

    assert measured.n == 0
    assert measured.wrong_N.tolist() == []
