import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.single_examples import LISTED, most_confidently_wrong, most_uncertain, read_texts
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.member import MemberId
from small_predictions import predicted, unlabelled


def measured(predictions):
    return predictions, measure_uncertainty(predictions.logits_MNC)


def test_the_most_uncertain_have_the_highest_mutual_information():
    predictions, uncertainty = measured(predicted(n=50))
    found = most_uncertain(predictions, uncertainty, count=5)

    highest = sorted(uncertainty.mutual_information_N.tolist(), reverse=True)[:5]
    assert [each.mutual_information for each in found] == highest
    assert len(most_uncertain(predictions, uncertainty)) == LISTED


def test_of_a_single_member_entropy_decides():
    predictions, uncertainty = measured(predicted(n=50, members=1))

    highest = sorted(uncertainty.entropy_N.tolist(), reverse=True)[:5]
    assert [each.entropy for each in most_uncertain(predictions, uncertainty, count=5)] == highest


def test_the_most_confidently_wrong_are_wrong_and_labelled():
    predictions, uncertainty = measured(unlabelled(predicted(n=80), first=30))
    found = most_confidently_wrong(predictions, uncertainty, count=1000)

    wrong_N = predictions.labelled_N & (uncertainty.prediction_N != predictions.labels_N)
    assert len(found) == wrong_N.sum() > 3
    assert all(each.label is not None and each.label != each.prediction for each in found)
    confidences = [each.confidence for each in found]
    assert confidences == sorted(confidences, reverse=True)
    assert most_confidently_wrong(*measured(unlabelled(predicted()))) == ()


def test_every_member_votes_with_its_own_probability():
    predictions, uncertainty = measured(predicted(n=10, classes=3))
    [each] = most_uncertain(predictions, uncertainty, count=1)

    n = predictions.ids.index(each.id)
    exponentials_MC = np.exp(predictions.logits_MNC[:, n].astype(np.float64))
    probs_MC = exponentials_MC / exponentials_MC.sum(axis=1, keepdims=True)
    assert [vote.member for vote in each.votes] == list(predictions.members)
    assert [vote.prediction for vote in each.votes] == probs_MC.argmax(axis=1).tolist()
    assert [vote.probability for vote in each.votes] == pytest.approx(probs_MC.max(axis=1))


def test_samples_of_one_seed_vote_each_for_itself():
    members = (MemberId(42), MemberId(42, 1), MemberId(42, 2))
    predictions, uncertainty = measured(replace(unlabelled(predicted(n=3), first=2), members=members))
    found = most_uncertain(predictions, uncertainty)

    assert {tuple(vote.member for vote in each.votes) for each in found} == {members}
    assert {each.label is None for each in found} == {True, False}


def test_texts_of_the_wanted_examples(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{i}", "text": f"text {i}"}) + "\n" for i in range(9)))

    assert read_texts(path, {"q2", "q7", "gone"}) == {"q2": "text 2", "q7": "text 7"}
    assert read_texts(tmp_path / "absent.jsonl", {"q2"}) == {}


@pytest.mark.parametrize("line", ["not json", '{"id": "q"}', "[1]", "7"])
def test_a_line_without_id_and_text_is_named(tmp_path, line):
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a", "text": "b"}\n' + line + "\n")

    with pytest.raises(DataError, match=r"x\.jsonl:2: this is no JSON object with id and text"):
        read_texts(path, {"a"})
