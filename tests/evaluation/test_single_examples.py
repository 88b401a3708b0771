import json

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.single_examples import CASES, most_confidently_wrong, most_uncertain, read_texts
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from small_predictions import predicted, unlabelled


def measured(predictions):
    return predictions, measure_uncertainty(predictions.logits_MNC)


def test_the_most_uncertain_have_the_highest_mutual_information():
    predictions, uncertainty = measured(predicted(n=50))
    cases = most_uncertain(predictions, uncertainty, count=5)

    highest = sorted(uncertainty.mutual_information_N.tolist(), reverse=True)[:5]
    assert [case["mutual_information"] for case in cases] == highest
    assert len(most_uncertain(predictions, uncertainty)) == CASES


def test_of_a_single_member_entropy_decides():
    predictions, uncertainty = measured(predicted(n=50, members=1))

    highest = sorted(uncertainty.entropy_N.tolist(), reverse=True)[:5]
    assert [case["entropy"] for case in most_uncertain(predictions, uncertainty, count=5)] == highest


def test_the_most_confidently_wrong_are_wrong_and_labelled():
    predictions, uncertainty = measured(unlabelled(predicted(n=80), first=30))
    cases = most_confidently_wrong(predictions, uncertainty, count=1000)

    wrong_N = predictions.labelled_N & (uncertainty.prediction_N != predictions.labels_N)
    assert len(cases) == wrong_N.sum() > 3
    assert all(case["label"] is not None and case["label"] != case["prediction"] for case in cases)
    confidences = [case["confidence"] for case in cases]
    assert confidences == sorted(confidences, reverse=True)
    assert most_confidently_wrong(*measured(unlabelled(predicted()))) == []


def test_every_member_votes_with_its_own_probability():
    predictions, uncertainty = measured(predicted(n=10, classes=3))
    [case] = most_uncertain(predictions, uncertainty, count=1)

    n = predictions.ids.index(case["id"])
    exponentials_MC = np.exp(predictions.logits_MNC[:, n].astype(np.float64))
    probs_MC = exponentials_MC / exponentials_MC.sum(axis=1, keepdims=True)
    assert [vote["seed"] for vote in case["votes"]] == [42, 43, 44]
    assert [vote["prediction"] for vote in case["votes"]] == probs_MC.argmax(axis=1).tolist()
    assert [vote["probability"] for vote in case["votes"]] == pytest.approx(probs_MC.max(axis=1))


def test_cases_are_ready_for_json():
    cases = most_uncertain(*measured(unlabelled(predicted(n=3), first=2)))

    assert json.loads(json.dumps(cases, allow_nan=False)) == cases
    assert {case["label"] is None for case in cases} == {True, False}


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
