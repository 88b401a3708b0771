import json

import numpy as np
import pytest
from small_predictions import predicted, unlabelled

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.inference.cases import most_confidently_wrong, most_uncertain, read_texts
from ensemble_uq_llm.inference.evaluate import evaluate


def test_the_most_uncertain_have_the_highest_mutual_information():
    evaluation = evaluate(predicted(n=50), draws=0)
    cases = most_uncertain(evaluation, count=5)

    highest = sorted(evaluation.uncertainty.mutual_information_N.tolist(), reverse=True)[:5]
    assert [case.mutual_information for case in cases] == highest


def test_of_a_single_member_entropy_decides():
    evaluation = evaluate(predicted(n=50, members=1), draws=0)

    highest = sorted(evaluation.uncertainty.entropy_N.tolist(), reverse=True)[:5]
    assert [case.entropy for case in most_uncertain(evaluation, count=5)] == highest


def test_the_most_confidently_wrong_are_wrong_and_labelled():
    evaluation = evaluate(unlabelled(predicted(n=80), first=30), draws=0)
    cases = most_confidently_wrong(evaluation, count=1000)

    predictions = evaluation.predictions
    wrong_N = predictions.labelled_N & (evaluation.uncertainty.prediction_N != predictions.labels_N)
    assert len(cases) == wrong_N.sum() > 3
    assert all(case.label is not None and case.label != case.prediction for case in cases)
    assert [case.confidence for case in cases] == sorted((case.confidence for case in cases), reverse=True)
    assert most_confidently_wrong(evaluate(unlabelled(predicted()), draws=0), count=5) == []


def test_every_member_votes_with_its_own_probability():
    evaluation = evaluate(predicted(n=10, classes=3), draws=0)
    case = most_uncertain(evaluation, count=1)[0]

    n = evaluation.predictions.ids.index(case.id)
    exponentials_MC = np.exp(evaluation.predictions.logits_MNC[:, n].astype(np.float64))
    probs_MC = exponentials_MC / exponentials_MC.sum(axis=1, keepdims=True)
    assert [vote.seed for vote in case.votes] == [42, 43, 44]
    assert [vote.prediction for vote in case.votes] == probs_MC.argmax(axis=1).tolist()
    assert [vote.probability for vote in case.votes] == pytest.approx(probs_MC.max(axis=1))


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
