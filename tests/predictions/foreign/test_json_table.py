import json

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign_tables import load_predictions


def read(tmp_path, *rows, classes=None):
    path = tmp_path / "theirs.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return load_predictions(path, classes=classes)


def test_a_row_an_example_and_member(tmp_path):
    predictions = read(
        tmp_path,
        {"id": 7, "label": True, "seed": 1, "prob_0": 0.25, "prob_1": 0.75},
        "",
        {"id": "b", "seed": 1, "prob_0": 1, "prob_1": 1e-3},
        {"id": 7, "label": True, "seed": 2, "prob_0": 0.5, "prob_1": 0.5, "more": [1, {"x": 2}]},
        {"id": "b", "label": None, "seed": 2, "prob_0": 0.5, "prob_1": 0.5},
    )

    assert (predictions.ids, predictions.labels) == (("7", "b"), (1, None))
    assert np.exp(predictions.logits_MNC[0, 0]) == pytest.approx([0.25, 0.75], rel=1e-15)


@pytest.mark.parametrize("name", ["logits", "probs"])
def test_lists_of_one_number_a_class_and_lists_of_such_a_member(tmp_path, name):
    one = read(tmp_path, {"id": "a", name: [0.2, 0.3, 0.5]}, {"id": "b", name: [0.1, 0.1, 0.8]})
    assert one.logits_MNC.shape == (1, 2, 3)

    members = [[0.2, 0.8], [0.4, 0.6], [0.5, 0.5]]
    rows = [{"label": 1, name: members}, {"label": 0, name: members[::-1]}]
    rows = [{**row, "true_probs": [0.25, 0.75]} for row in rows]
    several = read(tmp_path, *rows)
    assert several.true_probs_NC.tolist() == [[0.25, 0.75]] * 2
    assert (several.ids, several.labels) == (("0", "1"), (1, 0))
    expected = np.log(members) if name == "probs" else np.array(members)
    assert several.logits_MNC[:, 0] == pytest.approx(expected, rel=1e-14)
    assert several.logits_MNC[:, 1] == pytest.approx(expected[::-1], rel=1e-14)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prob": 0.5}, "{"], r"theirs\.jsonl:2: one object must stand on one line"),
        ([{"prob": 0.5}, "[1]"], r"theirs\.jsonl:2: a list where an object is expected"),
        ([{"prob": 0.5}, "", {"prob": "much"}], r"theirs\.jsonl: line 3: prob is 'much'; it must be a number"),
        ([{"prob": 0.5}, {"prob": {"x": 1}}], r"theirs\.jsonl: line 2: prob is .*; it must be a number"),
        ([{"prob": 0.5}, {"p": 1}], r"theirs\.jsonl: line 2: prob is nan; a probability is a number"),
        ([{"probs": [0.5, 0.5]}, {"probs": [1]}], r"theirs\.jsonl: line 2: probs is not a list of as many numbers"),
        ([{"probs": [[0.5, 0.5]]}, {"probs": [[1, 0], [0, 1]]}], r"line 2: probs is not a list of as many numbers"),
        ([{"probs": [[0.5, 0.5], [0.2, 0.8]]}, {"probs": [[0.5, 0.5], [0.2, 2]]}], r"line 2: prob_1 is 2\.0"),
        ([{"id": "a\ud800", "prob": 0.5}], r"theirs\.jsonl: line 1: 'a\\ud800' holds half a character"),
        ([{"id": "a", "seed": 2**70, "prob": 0.5}], r"theirs\.jsonl: .*seed"),
        ([{"label": "cat", "prob": 0.5}], r"line 1: label is 'cat'; it must be a class number .*--classes"),
        ([], r"theirs\.jsonl: the file has no rows"),
        (['{"prob": 0.5, "prob": 0.9}'], r"theirs\.jsonl:1: the field 'prob' occurs twice"),
        (['{"prob": 0.5, "\\ud83d": 1}'], r"theirs\.jsonl: a key: '\\ud83d' holds half a character"),
        ([{"prob": True}], r"line 1: prob is True; it must be a number"),
        ([{"label": "01", "prob": 0.5}], r"line 1: label is '01'; it must be a class number"),
        ([{"probs": {"a": 1}}], r"column 'probs' does not hold lists of numbers"),
        ([{f"k{row}": 1} for row in range(2100)], r"2,100 lines have 2,100 different keys, and a line 1 of them"),
        ([{f"k{key}": 1 for key in range(40_000)}], r"there are 40,000 columns, and 32,768 are read at most; give"),
    ],
)
def test_a_mistake_is_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, *rows)
