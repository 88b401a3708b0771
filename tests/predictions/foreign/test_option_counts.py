import json
import warnings

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.lacking_options import lacks, masked
from ensemble_uq_llm.predictions.alignment import align
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.parquet import read_predictions, write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_labelled

LACKS = [[False, False, False], [False, False, True]]


def load(tmp_path, name, text, **options):
    path = tmp_path / name
    path.write_text(text)
    return load_predictions(path, **options)


def silently(tmp_path, name, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(tmp_path, name, text)


def test_our_own_files_keep_which_options_a_row_has(tmp_path):
    logits = masked(np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32), np.array([5, 3, 4]))
    ours = Predictions.from_arrays(logits=logits, labels=[4, 2, -1], ids=["a", "b", "c"])
    table = ours.to_table()
    assert table["options"].to_pylist() == [5, 3, 4] * 2
    assert table["logit_4"].null_count == 4
    write_predictions(tmp_path / "p.parquet", ours)
    for again in (read_predictions(tmp_path / "p.parquet"), load_predictions(tmp_path / "p.parquet")):
        np.testing.assert_array_equal(again.logits_MNC, ours.logits_MNC)
        assert again.labels == ours.labels
    assert of_labelled(ours).lacks_NC.tolist() == ours.lacks_NC[:2].tolist()
    whole = Predictions.from_arrays(logits=np.ones((1, 2, 3)))
    assert "options" not in whole.to_table().column_names
    assert whole.lacks_NC is None


def test_what_has_no_number_is_not_there_and_a_warning_says_so(tmp_path):
    tables = {
        "p.csv": "id,label,seed,prob_0,prob_1,prob_2\na,0,1,.5,.25,.25\nb,1,1,.5,.5,\n",
        "l.csv": "id,label,seed,logit_0,logit_1,logit_2\na,0,1,1,2,3\nb,1,1,1,1,\n",
        "n.csv": "id,label,prob_0,prob_1,prob_2\na,0,.5,.25,.25\nb,1,.5,.5,nan\n",
        "i.csv": "id,label,logit_0,logit_1,logit_2\na,0,1,2,3\nb,1,0,0,-inf\n",
        "j.jsonl": '{"probs": [0.5, 0.25, 0.25], "label": 0}\n{"probs": [0.5, 0.5, null], "label": 1}\n',
    }
    for name, text in tables.items():
        with pytest.warns(UserWarning, match=rf"{name}: 1 of 2 examples have classes without a number.*'options'"):
            found = load(tmp_path, name, text)
        assert found.lacks_NC.tolist() == LACKS
        assert np.exp(found.logits_MNC[0, 1, 0] - found.logits_MNC[0, 1, 1]) == 1.0


def test_a_column_of_counts_says_it_whatever_stands_there(tmp_path):
    for empty in ("", "0", "nan"):
        text = f"id,label,options,prob_0,prob_1,prob_2\na,0,3,.5,.25,.25\nb,1,2,.5,.5,{empty}\n"
        assert silently(tmp_path, "p.csv", text).lacks_NC.tolist() == LACKS
    text = json.dumps({"probs": [[0.5, 0.5, 0.0]] * 2, "options": 2}) + "\n"
    assert silently(tmp_path, "p.jsonl", text).lacks_NC.tolist() == LACKS[1:]
    np.savez(tmp_path / "p.npz", probs=[[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]], options=[3, 2])
    assert load_predictions(tmp_path / "p.npz").lacks_NC.tolist() == LACKS


def test_a_zero_alone_stays_a_probability(tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 probabilities are exactly 0"):
        assert load(tmp_path, "p.csv", "id,prob_0,prob_1,prob_2\na,.5,.5,0\n").lacks_NC is None


def test_texts_of_options_are_no_counts(tmp_path):
    text = '{"probs": [0.5, 0.25, 0.25], "options": ["x", "y", "z"]}\n'
    assert silently(tmp_path, "p.jsonl", text).lacks_NC is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,options,prob_0,prob_1,prob_2\na,2,.5,.25,.25\n",
            r"line 2: options is 2 and prob_2 is 0\.25; that",
        ),
        ("id,options,prob_0,prob_1,prob_2\na,3,.5,.5,\n", r"line 2: options is 3 and prob_2 is empty; give every"),
        ("id,options,prob_0,prob_1,prob_2\na,4,.5,.25,.25\n", r"line 2: options is 4; with 3 classes it is 2 to 3"),
        ("id,options,prob_0,prob_1,prob_2\na,3,.5,.25,.25\nb,,.5,.25,.25\n", r"line 3: options is empty; give every"),
        (
            "id,label,prob_0,prob_1,prob_2\na,2,.5,.5,\n",
            r"'a' has 2 options of 3 classes and the label 2, which",
        ),
        ("id,prob_0,prob_1,prob_2\na,1,,\n", r"line 2: prob_1 is nan"),
        ("id,logit_0,logit_1,logit_2\na,1,,\n", r"logit_1 is nan; a member that diverged must be left out"),
        ("id,seed,logit_0,logit_1,logit_2\na,1,1,2,3\na,2,1,2,\n", r"'a' has no logit_2 of seed 2 and one of seed 1"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load(tmp_path, "p.csv", text)


def test_runs_are_compared_on_the_same_options_only():
    a, b = (
        Predictions.from_arrays(logits=masked(np.zeros((1, 2, 3)), np.array(options)), labels=[0, 1])
        for options in ([3, 2], [3, 3])
    )
    assert lacks(align(a, a).a_MNC).sum() == 1
    with pytest.raises(DataError, match=r"example '1' has 2 options in A and 3 in B"):
        align(a, b)
