import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.predictions.foreign.column_names import parse_columns
from ensemble_uq_llm.predictions.foreign_tables import load_predictions

CLASSES = ["negative", "neutral", "positive"]
TABLE = {
    "qid": ["a", "b", "c"],
    "gold": ["positive", "negative", None],
    "label": ["not", "these", "ones"],
    "s0": [0.1, 0.6, 0.2],
    "s1": [0.2, 0.3, 0.2],
    "s2": [0.7, 0.1, 0.6],
}
COLUMNS = {"id": "qid", "label": "gold", "prob_0": "s0", "prob_1": "s1", "prob_2": "s2"}


def written(tmp_path, ending, table):
    path = tmp_path / f"theirs{ending}"
    if ending == ".parquet":
        pq.write_table(pa.table(table), path)
    elif ending == ".jsonl":
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    elif ending == ".npz":
        known = {name: np.array(["" if each is None else each for each in column]) for name, column in table.items()}
        probs = np.stack([table[f"s{c}"] for c in range(3)], axis=-1)
        np.savez(path, qid=known["qid"], gold=known["gold"], p=probs)
    else:
        separator = "\t" if ending == ".tsv" else ","
        rows = [table, *zip(*table.values(), strict=True)]
        path.write_text("\n".join(separator.join("" if each is None else str(each) for each in row) for row in rows))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".jsonl", ".npz"])
def test_names_of_columns_and_of_classes_in_every_format(tmp_path, ending):
    columns = {"id": "qid", "label": "gold", "probs": "p"} if ending == ".npz" else COLUMNS
    predictions = load_predictions(written(tmp_path, ending, TABLE), columns=columns, classes=CLASSES)

    assert (predictions.ids, predictions.labels) == (("a", "b", "c"), (2, 0, None))
    assert np.exp(predictions.logits_MNC[0, 0]) == pytest.approx([0.1, 0.2, 0.7], rel=1e-14)


def test_one_mapping_serves_files_that_have_our_names(tmp_path):
    theirs = load_predictions(written(tmp_path, ".csv", TABLE), columns=COLUMNS, classes=CLASSES)
    ours = {"id": TABLE["qid"], "label": TABLE["gold"], **{f"prob_{c}": TABLE[f"s{c}"] for c in range(3)}}
    same = load_predictions(written(tmp_path, ".parquet", ours), columns=COLUMNS, classes=CLASSES)

    lists = {"id": TABLE["qid"], "gold": TABLE["gold"], "probs": [[0.1, 0.2, 0.7]] * 3}
    other = load_predictions(written(tmp_path, ".jsonl", lists), columns=COLUMNS, classes=CLASSES)

    assert (theirs.ids, theirs.labels) == (same.ids, same.labels) == (other.ids, other.labels)


def test_columns_named_by_classes_say_their_order(tmp_path):
    table = {"label": ["pos", "neg"], "prob_pos": [0.9, 0.2], "prob_neg": [0.1, 0.8]}
    path = written(tmp_path, ".csv", table)

    by_header, given = load_predictions(path), load_predictions(path, classes=["neg", "pos"])
    assert (by_header.labels, given.labels) == ((0, 1), (1, 0))
    assert np.array_equal(by_header.logits_MNC[..., ::-1], given.logits_MNC)


def test_logits_named_by_classes_need_the_classes(tmp_path):
    path = written(tmp_path, ".csv", {"label": ["pos"], "logit_pos": [1.5], "logit_neg": [0.5], "logit_mean": [1.0]})

    assert load_predictions(path, classes=["neg", "pos"]).logits_MNC.tolist() == [[[0.5, 1.5]]]
    with pytest.raises(DataError, match=r"there are no logits and no probabilities"):
        load_predictions(path)
    with pytest.raises(DataError, match=r"column 'logit_neutral' is missing; every class needs its own"):
        load_predictions(path, classes=["neg", "neutral", "pos"])


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (["1", "0"], ["yes", "no"], r"line 2: label is '1' \(1 could be class number 1, 'no', or mean true"),
        (["positve"], ["negative", "positive"], r"label is 'positve' \(did you mean 'positive'\?"),
        (["0"], ["a", "b", "c"], r"there are 2 classes, and 3 names of them, 'a', 'b', 'c'; give 2"),
        (["0"], ["a", "a"], r"the names of the classes, 'a', 'a', do not all differ"),
    ],
)
def test_a_label_that_means_no_class_or_two_is_refused(tmp_path, labels, classes, message):
    path = written(tmp_path, ".csv", {"label": labels, "prob": [0.5] * len(labels)})

    with pytest.raises(DataError, match=message):
        load_predictions(path, classes=classes)


def test_a_name_of_a_number_is_the_class_of_that_name(tmp_path):
    path = written(tmp_path, ".csv", {"label": ["1", "0"], "prob": [0.5, 0.5]})

    assert load_predictions(path).labels == (1, 0)
    assert load_predictions(path, classes=["1", "0"]).labels == (0, 1)


def test_options_are_pairs():
    assert parse_columns(["id=qid, label = gold", "prob=P(yes)"]) == {"id": "qid", "label": "gold", "prob": "P(yes)"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["id"], r"--columns id: give pairs of our name and the file's, such as id=qid,label=gold"),
        (["=x"], r"--columns =x: give pairs"),
        (["lable=x"], r"columns: 'lable' is no column of predictions; did you mean 'label'\?"),
        (["id=x,label=x"], r"columns: 'x' is given for two columns; give it for one"),
    ],
)
def test_options_that_are_none(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_columns(options)


def test_a_column_that_the_file_lacks_is_named(tmp_path):
    with pytest.raises(DataError, match=r"column 'qids', given as id, is missing; did you mean 'qid'\?"):
        load_predictions(written(tmp_path, ".csv", TABLE), columns={"id": "qids"})
