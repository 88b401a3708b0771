import numpy as np

from ensemble_uq_llm.labels.lacking_options import LACKING
from ensemble_uq_llm.predictions.record import Predictions
from real.baselines import always_the_frequencies, guessed


def three_questions() -> Predictions:
    """Questions of 4, 3 and 4 options."""
    logits_NC = np.zeros((3, 4))
    logits_NC[1, 3] = LACKING
    return Predictions.from_arrays(
        logits=np.where(logits_NC == LACKING, np.nan, logits_NC), options=[4, 3, 4], labels=[0, 2, 3]
    )


def test_the_frequencies_are_those_of_the_training_labels_among_the_options_that_are_there():
    always = always_the_frequencies(three_questions(), [0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(np.exp(always.logits_MNC[0, 0]), np.array([4, 3, 2, 1]) / 10)
    assert always.lacks_NC.tolist() == three_questions().lacks_NC.tolist()
    assert always.ids == three_questions().ids
    assert always.labels == (0, 2, 3)


def test_guessing_is_right_as_often_as_there_are_options():
    found = guessed(three_questions())
    np.testing.assert_allclose(found["accuracy"], (1 / 4 + 1 / 3 + 1 / 4) / 3)
    np.testing.assert_allclose(found["nll"], (2 * np.log(4) + np.log(3)) / 3)
