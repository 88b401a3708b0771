from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.selection import of_labelled, of_members
from small_predictions import predicted, unlabelled

SAMPLES = (MemberId(42), MemberId(42, 1), MemberId(7))


def test_members_are_found_by_seed_and_sample():
    predictions = replace(predicted(n=9, truth=True), members=SAMPLES)
    some = of_members(predictions, [SAMPLES[2], SAMPLES[1]], name="it", others="the others")

    assert some.members == (SAMPLES[2], SAMPLES[1])
    assert (some.logits_MNC == predictions.logits_MNC[[2, 1]]).all()
    assert (some.ids, some.labels) == (predictions.ids, predictions.labels)
    assert some.true_probs_NC is predictions.true_probs_NC
    assert of_members(predictions, SAMPLES, name="it", others="the others") is predictions


def test_members_that_are_missing_are_named():
    wanted = (MemberId(42, 2), MemberId(42), MemberId(9))
    message = "it has no member of seed 42, sample 2, seed 9; predict it with the same members as the others"
    with pytest.raises(DataError, match=message):
        of_members(replace(predicted(), members=SAMPLES), wanted, name="it", others="the others")


def test_labelled_examples_are_kept_in_their_order():
    whole = predicted(n=12, truth=True)
    some = of_labelled(unlabelled(whole, first=5))

    assert (some.ids, some.labels) == (whole.ids[5:], whole.labels[5:])
    assert (some.logits_MNC == whole.logits_MNC[:, 5:]).all()
    assert (some.true_probs_NC == whole.true_probs_NC[5:]).all()
    assert of_labelled(whole) is whole
    with pytest.raises(DataError, match="3 members and 0 examples"):
        of_labelled(unlabelled(whole))
    assert not np.shares_memory(some.logits_MNC, whole.logits_MNC)


def with_mass(predictions):
    shape = predictions.logits_MNC.shape[:2]
    return replace(predictions, answer_mass_MN=np.random.default_rng(3).uniform(size=shape))


def test_the_answer_mass_goes_with_its_members_and_examples():
    whole = with_mass(predicted(n=6, members=3))
    some = of_members(whole, whole.members[::-1][:2], name="A", others="B")
    np.testing.assert_array_equal(some.answer_mass_MN, whole.answer_mass_MN[[2, 1]])
    labelled = of_labelled(replace(whole, labels=(None, None, *whole.labels[2:])))
    np.testing.assert_array_equal(labelled.answer_mass_MN, whole.answer_mass_MN[:, 2:])
