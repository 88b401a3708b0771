import csv
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.parquet import write_predictions
from small_predictions import predicted, unlabelled


def softmax(logits):
    exp = np.exp(logits.astype(np.float64))
    return exp / exp.sum(axis=-1, keepdims=True)


def columns_of(predictions, kind):
    """The columns of a long file: logits, or probabilities under any name."""
    members, examples, classes = predictions.logits_MNC.shape
    values_MNC = predictions.logits_MNC if kind == "logit" else softmax(predictions.logits_MNC)
    return {
        "id": list(predictions.ids) * members,
        "label": list(predictions.labels) * members,
        "seed": np.repeat([member.seed for member in predictions.members], examples).tolist(),
    } | {f"{kind}_{c}": values_MNC[..., c].ravel().tolist() for c in range(classes)}


def write(path, columns):
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def read_text(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "their.csv"
    path.write_bytes(text.encode(encoding))
    return load_predictions(path)


def assert_equal(one, other):
    assert (one.ids, one.labels, one.members) == (other.ids, other.labels, other.members)
    assert np.array_equal(one.logits_MNC, other.logits_MNC)
    assert (one.true_probs_NC is None) == (other.true_probs_NC is None)
    assert one.true_probs_NC is None or np.array_equal(one.true_probs_NC, other.true_probs_NC)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["logit", "prob"])
def test_samples_of_one_seed_are_told_apart(tmp_path, ending, kind):
    members = (MemberId(42), MemberId(42, 3), MemberId(7, 3))
    ours = replace(predicted(n=6), members=members)
    columns = columns_of(ours, kind) | {"sample": np.repeat([member.sample for member in members], 6).tolist()}
    read = load_predictions(write(tmp_path / f"their.{ending}", columns))

    assert (read.ids, read.labels, read.members) == (ours.ids, ours.labels, members)
    assert softmax(read.logits_MNC) == pytest.approx(softmax(ours.logits_MNC), abs=1e-6)


def test_our_own_file(tmp_path):
    ours = unlabelled(predicted(n=20, classes=3, truth=True), first=5)
    write_predictions(tmp_path / "x.parquet", ours)

    assert_equal(load_predictions(tmp_path / "x.parquet"), ours)


@pytest.mark.parametrize("ending", ["csv", "parquet", "CSV"])
@pytest.mark.parametrize("kind", ["logit", "prob", "p"])
@pytest.mark.parametrize("classes", [2, 11])
def test_a_long_file_with_many_members(tmp_path, ending, kind, classes):
    ours = unlabelled(predicted(n=15, classes=classes), first=3)
    theirs = load_predictions(write(tmp_path / f"x.{ending}", columns_of(ours, kind)))

    assert (theirs.ids, theirs.labels, theirs.members) == (ours.ids, ours.labels, ours.members)
    if kind == "logit":
        assert np.array_equal(theirs.logits_MNC, ours.logits_MNC)
    else:
        assert np.allclose(softmax(theirs.logits_MNC), softmax(ours.logits_MNC), rtol=2**-17, atol=0)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["prob", "p_yes", "prob_1", "p_1"])
def test_one_column_of_one_member(tmp_path, ending, name):
    theirs = load_predictions(write(tmp_path / f"x.{ending}", {name: [0.25, 0.9], "prediction": [0, 1]}))

    assert (theirs.ids, theirs.labels, theirs.members) == (("0", "1"), (None, None), trained([0]))
    assert np.allclose(softmax(theirs.logits_MNC), [[[0.75, 0.25], [0.1, 0.9]]], rtol=1e-6, atol=0)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["answer_mass", "mass"])
def test_the_answer_mass_is_kept(tmp_path, ending, name):
    path = write(tmp_path / f"x.{ending}", {"prob": [0.25, 0.9], name: [0.5, 1.0]})
    mapping = {} if name == "answer_mass" else {"answer_mass": name}

    assert load_predictions(path, columns=mapping).answer_mass_MN.tolist() == [[0.5, 1.0]]
    with pytest.raises(DataError, match=r"answer_mass is 1\.5; it must be a probability, in every row"):
        load_predictions(write(tmp_path / f"y.{ending}", {"prob": [0.25], "answer_mass": [1.5]}))


def test_true_probabilities_are_kept_and_other_columns_ignored(tmp_path):
    ours = predicted(n=6, members=1, truth=True)
    columns = columns_of(ours, "prob") | {f"true_{c}": ours.true_probs_NC[:, c].tolist() for c in range(2)}
    columns |= {"true_label": ["yes"] * 6, "note": ["a, b"] * 6}
    for ending in ("csv", "parquet"):
        theirs = load_predictions(write(tmp_path / f"x.{ending}", columns))
        assert np.array_equal(theirs.true_probs_NC, ours.true_probs_NC)


@pytest.mark.parametrize("empty", ["", '""'])
def test_labels_as_csv_files_write_them(tmp_path, empty):
    def labels(*cells):
        return read_text(tmp_path, "label,prob\n" + "".join(f"{cell},0.5\n" for cell in cells)).labels

    assert labels("0", "1", empty) == (0, 1, None)
    assert labels("0.0", empty, "1.0") == (0, None, 1)
    assert labels("true", "False", empty, "TRUE") == (1, 0, None, 1)
    assert labels(empty, empty) == (None, None)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, None, False]),
        pa.array([1.0, float("nan"), 0.0]),
        pa.array(["1", "", "0"]),
        pa.array(["true", None, "false"]).dictionary_encode(),
        pa.array([1, None, 0], pa.uint8()),
    ],
)
def test_labels_as_parquet_files_write_them(tmp_path, column):
    assert load_predictions(write(tmp_path / "x.parquet", {"label": column, "prob": [0.1] * 3})).labels == (1, None, 0)


def test_ids_are_text(tmp_path):
    assert read_text(tmp_path, "id,prob\n007,0.5\n7,0.5\n1e5,0.5\n").ids == ("007", "7", "1e5")
    assert read_text(tmp_path, "id,prob\nNA,0.5\nnull,0.5\n").ids == ("NA", "null")


def test_spaces_blank_lines_and_a_mark_at_the_start(tmp_path):
    theirs = read_text(tmp_path, "\ufeffid , label, prob_0, prob_1\r\n\r\na, 1, 0.5, 0.5\r\nb, 0, 0.25, 0.75\r\n\r\n")

    assert (theirs.ids, theirs.labels) == (("a", "b"), (1, 0))


LINES = "id,label,seed,prob_0,prob_1\na,0,1,0.5,0.5\nb,1,1,0.25,0.75\na,0,2,0.5,0.5\nb,1,2,0.25,0.75\n"

MISTAKES = {
    "sum": ("b,1,2,0.25,0.75", "b,1,2,0.25,0.7", "line 5: prob_0 to prob_1 sum to 0.95; the probabilities of a row"),
    "nan": ("b,1,1,0.25,0.75", "b,1,1,nan,0.75", "line 3: prob_0 is nan; a probability is a number from 0 to 1"),
    "infinite": ("b,1,1,0.25,0.75", "b,1,1,0.25,-inf", "line 3: prob_1 is -inf; a probability"),
    "empty": ("b,1,1,0.25,0.75", "b,1,1,0.25,", "line 3: prob_1 is nan; a probability"),
    "logits": ("b,1,1,0.25,0.75", "b,1,1,-3,4", "line 3: prob_0 is -3.0; a probability is a number from 0 to 1 (name"),
    "text": ("b,1,1,0.25,0.75", "b,1,1,0.25,high", "line 3: prob_1 is 'high'; it must be a number"),
    "label word": ("b,1,2,", "b,yes,2,", "line 5: label is 'yes'; it must be a class number 0 to 1, true or false, or"),
    "label range": ("b,1,2,", "b,2,2,", "line 5: label is '2'; it must be a class number 0 to 1"),
    "label -1": ("a,0,1,", "a,-1,1,", "line 2: label is '-1'; it must be a class number 0 to 1"),
    "labels differ": ("b,1,2,", "b,0,2,", "example 'b' has label 1 in the row of seed 1 but 0 in that of seed 2"),
    "no id": ("b,1,2,", ",1,2,", "line 5: id is empty; give every row its example's id and its member's seed"),
    "no seed": ("b,1,2,", "b,1,,", "line 5: seed is empty; give every row"),
    "seed word": ("b,1,2,", "b,1,x,", "line 5: seed is 'x'; it must be a whole number"),
    "duplicate": ("b,1,2,", "b,1,1,", "example 'b' has seed 1 more than once; keep one row per example and member"),
    "missing member": ("b,1,2,", "c,1,2,", "example 'b' has no row of seed 2; every member must predict every example"),
    "short row": ("b,1,2,0.25,0.75", "b,1,2,1", "5: 4 values for the 5 columns of the header; put quotes"),
    "no seeds": ("seed", "note", "id 'a' is in more than one row, and no column 'seed' tells members apart"),
    "no ids": ("id", "question", "column 'id' is missing; where there are seeds, every row needs its example's id"),
    "twice": ("label,seed", "seed,seed", "1: the header names the column 'seed' twice: 'id', 'seed', 'seed'"),
    "misspelt label": ("label", "labels", "'labels' is not a name that is read; did you mean 'label'?"),
    "misspelt seed": ("seed", "Seeds", "'Seeds' is not a name that is read; did you mean 'seed'?"),
    "neither": (
        "prob_0,prob_1",
        "probs_0,probs_1",
        "there are no logits and no probabilities; needed are logit_0, logit_1, ... or prob_0, prob_1, ... (for two "
        "classes also prob, p_yes or prob_1 alone), found 'id', 'label', 'seed', 'probs_0', 'probs_1'; did you mean "
        "'prob_0'?",
    ),
    "both": ("prob_0,prob_1", "prob_0,logit_1", "columns 'prob_0' and 'logit_1' say the same thing twice; keep logit"),
    "both kinds": ("prob_0,prob_1", "prob_1,p_yes", "columns 'p_yes' and 'prob_1' say the same thing twice"),
    "gap": ("prob_0,prob_1", "prob_0,prob_2", "column 'prob_1' is missing; every class needs its own, counted from 0"),
    "first gap": ("prob_0,prob_1", "prob_1,prob_2", "column 'prob_0' is missing; every class needs its own"),
    "one class": ("prob_0,prob_1", "note,prob_0", "column 'prob_1' is missing; every class needs its own"),
    "one logit": ("prob_0,prob_1", "note,logit_1", "column 'logit_0' is missing; every class needs its own"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path, mistake):
    right, wrong, message = MISTAKES[mistake]
    assert len(read_text(tmp_path, LINES).members) == 2

    with pytest.raises(DataError, match=r"their\.csv:( |)" + re.escape(message)):
        read_text(tmp_path, LINES.replace(right, wrong, 1))


def test_how_many_rows_have_a_fault(tmp_path):
    rows = ["0.5,0.5"] * 10 + ["0.5,0.6"] * 17
    with pytest.raises(DataError, match=r"line 12: prob_0 to prob_1 sum to 1\.1 \(16 more rows have such a fault\)"):
        read_text(tmp_path, "prob_0,prob_1\n" + "\n".join(rows))


def test_the_line_is_that_of_the_editor(tmp_path):
    with pytest.raises(DataError, match=r"their\.csv: line 7: prob is 2\.0"):
        read_text(tmp_path, 'id,prob\n\n"a\nb",0.5\n\nb,0.5\nc,2.0\n')


def test_the_row_of_a_parquet_file(tmp_path):
    with pytest.raises(DataError, match=r"x\.parquet: row 1: prob is 2\.0; a probability is a number from 0 to 1"):
        load_predictions(write(tmp_path / "x.parquet", {"prob": [0.5, 2.0]}))
    path = write(tmp_path / "x.parquet", {f"logit_{c}": [0.0, 0.0] for c in range(3)} | {"label": ["1", "yes"]})
    with pytest.raises(DataError, match=r"x\.parquet: row 1: label is 'yes'; it must be a class number 0 to 2, or emp"):
        load_predictions(path)


def test_the_contract_keeps_its_own_messages(tmp_path):
    columns = columns_of(predicted(n=3, members=2), "logit")
    with pytest.raises(DataError, match=r"x\.parquet: example 'q0' has label 9; with 2 classes it must be 0 to 1"):
        load_predictions(write(tmp_path / "x.parquet", columns | {"label": [9, 0, 0] * 2}))


def test_a_logit_that_no_float32_holds(tmp_path):
    with pytest.raises(DataError, match=r"their\.csv: example '0', seed 0: logit_1 is inf; a member that diverged"):
        read_text(tmp_path, "logit_0,logit_1\n0,1e300\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.json",
            b"{}",
            r"x\.json: predictions are read from \.parquet, \.csv, \.tsv, \.jsonl, \.npz files; convert it, or correct",
        ),
        ("x", b"", "x: predictions are read from"),
        ("x.csv", b"", r"x\.csv: the file has no rows; it needs one for each"),
        ("x.csv", b"id,prob\n", r"x\.csv: the file has no rows; it needs one for each"),
        ("x.csv", b"id,prob\n\xff,0.5\n", r"x\.csv:2: byte 0 of the line \(0xff\) is not UTF-8"),
        (
            "x.csv",
            "id,prob\na,0.5\n".encode("utf-16"),
            r"x\.csv:1: the file is UTF-16; save it as UTF-8",
        ),
        ("x.parquet", b"id,prob\na,0.5\n", r"x\.parquet: this is not a readable Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=message):
        load_predictions(tmp_path / name)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz", ""])
def test_a_file_that_is_not_there(tmp_path, ending):
    with pytest.raises(
        DataError, match=rf"gone{re.escape(ending)}: there is no such file; predict the set first, or correct"
    ):
        load_predictions(tmp_path / f"gone{ending}")


def test_zeros_are_told_once(tmp_path):
    with pytest.warns(UserWarning, match=r"their\.csv: 3 of 8 probabilities are exactly 0") as caught:
        read_text(tmp_path, "prob\n0\n1\n0.0\n0.5\n")
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("name", "lines", "classes"),
    [
        ("named.csv", ["id,label,prob_cat,prob_dog", "a,dog,0.2,0.8"], None),
        ("numbered.csv", ["id,label,prob_0,prob_1", "a,1,0.2,0.8"], ["cat", "dog"]),
        ("contract.csv", ["id,label,seed,logit_0,logit_1", "a,1,7,0.2,0.8"], ["cat", "dog"]),
    ],
)
def test_the_names_of_classes_go_with_the_predictions(tmp_path, name, lines, classes):
    (tmp_path / name).write_text("\n".join(lines) + "\n")

    assert load_predictions(tmp_path / name, classes=classes).class_names == ("cat", "dog")


def test_too_few_names_of_classes_are_refused(tmp_path):
    (tmp_path / "x.csv").write_text("id,prob_0,prob_1,prob_2\na,0.2,0.5,0.3\n")

    with pytest.raises(DataError, match=r"x\.csv: 2 classes are named, but there are 3; name every class, in order"):
        load_predictions(tmp_path / "x.csv", classes=["cat", "dog"])
