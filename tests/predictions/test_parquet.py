import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.parquet import read_predictions, write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted, unlabelled


@pytest.fixture
def path(tmp_path):
    return tmp_path / "predictions" / "validation.parquet"


def rows(**columns):
    """A file of two examples and two members, with columns replaced (or left out, where None)."""
    table = {
        "id": ["a", "b", "a", "b"],
        "label": [0, 1, 0, 1],
        "seed": [42, 42, 43, 43],
        "logit_0": [0.0, 0.5, 1.0, 1.5],
        "logit_1": [2.0, 2.5, 3.0, 3.5],
    } | columns
    return pa.table({name: values for name, values in table.items() if values is not None})


def read(path, table):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)
    return read_predictions(path)


def assert_equal(one, other):
    assert (one.ids, one.labels, one.members) == (other.ids, other.labels, other.members)
    assert np.array_equal(one.logits_MNC, other.logits_MNC)
    if other.true_probs_NC is None:
        assert one.true_probs_NC is None
    else:
        assert np.array_equal(one.true_probs_NC, other.true_probs_NC)


@pytest.mark.parametrize("truth", [False, True])
@pytest.mark.parametrize("classes", [2, 12])
def test_what_is_written_is_read(path, classes, truth):
    predictions = unlabelled(predicted(n=20, classes=classes, truth=truth), first=5)
    write_predictions(path, predictions)

    assert_equal(read_predictions(path), predictions)


def test_the_file_has_exactly_the_columns_of_the_contract(path):
    write_predictions(path, predicted(n=4, classes=3, truth=True))
    schema = pq.read_schema(path)

    assert {field.name: str(field.type) for field in schema} == {
        "id": "string",
        "label": "int64",
        "seed": "int64",
        **dict.fromkeys(["logit_0", "logit_1", "logit_2"], "float"),
        **dict.fromkeys(["true_0", "true_1", "true_2"], "double"),
    }
    assert pq.read_metadata(path).num_rows == 12


def test_rows_may_come_in_any_order(path):
    predictions = predicted(n=30, truth=True)
    write_predictions(path, predictions)
    table = pq.read_table(path)
    shuffled = read(path, table.take(np.random.default_rng(0).permutation(len(table))))

    examples = [shuffled.ids.index(example) for example in predictions.ids]
    members = [shuffled.members.index(member) for member in predictions.members]
    assert np.array_equal(shuffled.logits_MNC[members][:, examples], predictions.logits_MNC)
    assert np.array_equal(shuffled.true_probs_NC[examples], predictions.true_probs_NC)
    assert tuple(shuffled.labels[n] for n in examples) == predictions.labels


def test_other_systems_may_use_other_number_types_and_more_columns(path):
    table = rows(
        id=pa.array([7, 8, 7, 8]),
        label=pa.array([0.0, 1.0, 0.0, 1.0]),
        seed=pa.array([1, 1, 2, 2], pa.int32()),
        logit_0=pa.array([0.0, 0.5, 1.0, 1.5], pa.float64()),
        note=["x"] * 4,
    )
    predictions = read(path, table)

    assert predictions.ids == ("7", "8")
    assert predictions.labels == (0, 1)
    assert predictions.members == trained((1, 2))
    assert predictions.logits_MNC.dtype == np.float64
    assert predictions.logits_MNC[1, 0].tolist() == [1.0, 3.0]


def test_logits_keep_the_digits_that_they_have(path):
    fine = rows(logit_0=pa.array([0.1, 0.2, 0.3, 0.4], pa.float64()), logit_1=pa.array([1, 2, 3, 4], pa.int64()))
    assert read(path, fine).logits_MNC[:, :, 0].tolist() == [[0.1, 0.2], [0.3, 0.4]]

    write_predictions(path, read(path, fine))
    assert read_predictions(path).logits_MNC.dtype == np.float64
    assert read_predictions(path).logits_MNC[:, :, 0].tolist() == [[0.1, 0.2], [0.3, 0.4]]
    write_predictions(path, predicted(n=3))
    assert read_predictions(path).logits_MNC.dtype == predicted(n=3).logits_MNC.dtype == np.float32


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    assert read(tmp_path / "seed=9" / "x.parquet", rows()).members == trained((42, 43))


def test_labels_as_an_array_with_a_mask(path):
    predictions = read(path, rows(label=[None, 1, None, 1]))

    assert predictions.labels == (None, 1)
    assert predictions.labels_N.tolist() == [-1, 1]
    assert predictions.labelled_N.tolist() == [False, True]
    assert not read(path, rows(label=[None] * 4)).labelled_N.any()


@pytest.mark.parametrize("gone", ["id", "label", "seed", "logit_0", "logit_1"])
def test_a_missing_column_is_named(path, gone):
    with pytest.raises(DataError, match=rf"validation\.parquet: column '{gone}' is missing; the file needs"):
        read(path, rows(**{gone: None}))


MISTAKES = {
    "duplicate": (
        {"id": ["a", "b", "a", "a"]},
        "example 'a' has seed 43 more than once; keep one row per example and member",
    ),
    "missing member": (
        {"seed": [42, 42, 43, 44]},
        "example 'a' has no row of seed 44; every member must predict every example",
    ),
    "nan": (
        {"logit_1": [2.0, 2.5, 3.0, float("nan")]},
        "example 'b', seed 43: logit_1 is nan; a member that diverged must be left out",
    ),
    "null logit": ({"logit_0": [0.0, None, 1.0, 1.5]}, "example 'b', seed 42: logit_0 is nan"),
    "infinity": ({"logit_0": [-np.inf, 0.5, 1.0, 1.5]}, "example 'a', seed 42: logit_0 is -inf"),
    "labels disagree": (
        {"label": [0, 1, 0, 0]},
        "example 'b' has label 1 in the row of seed 42 but 0 in that of seed 43",
    ),
    "label half known": (
        {"label": [0, None, 0, 1]},
        "example 'b' has label null in the row of seed 42 but 1 in that of seed 43",
    ),
    "label too high": (
        {"label": [0, 2, 0, 2]},
        "example 'b' has label 2; with 2 classes it must be 0 to 1, or null where it is unknown",
    ),
    "label negative": ({"label": [-1, 1, -1, 1]}, "example 'a' has label -1; with 2 classes"),
    "label a fraction": ({"label": [0.5, 1.0, 0.5, 1.0]}, "column 'label' cannot be read as int64"),
    "label a word": ({"label": ["yes", "no", "yes", "no"]}, "column 'label' cannot be read as int64"),
    "no id": ({"id": ["a", None, "a", "b"]}, "row 1 has no id; give every row"),
    "no seed": ({"seed": [42, 42, 43, None]}, "row 3 has no seed; give every row"),
    "classes with a gap": ({"logit_3": [0.0] * 4}, "column 'logit_2' is missing"),
    "half a truth": ({"true_0": [0.5] * 4}, "column 'true_1' is missing"),
    "truth disagrees": (
        {"true_0": [0.5, 0.5, 0.4, 0.5], "true_1": [0.5, 0.5, 0.6, 0.5]},
        "example 'a' has true_0 0.5 in the row of seed 42 but 0.4 in that of seed 43",
    ),
    "truth sums to more": (
        {"true_0": [0.5, 0.7, 0.5, 0.7], "true_1": [0.5, 0.5, 0.5, 0.5]},
        r"example 'b' has true probabilities [0.7, 0.5]; they must be numbers from 0 to 1 that sum to 1",
    ),
    "truth is nan": (
        {"true_0": [0.5, np.nan] * 2, "true_1": [0.5, 0.5] * 2},
        "example 'b' has true probabilities [nan, 0.5]",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(path, mistake):
    columns, message = MISTAKES[mistake]

    with pytest.raises(DataError, match=r"validation\.parquet: " + re.escape(message)):
        read(path, rows(**columns))


def test_one_class_is_not_enough(path):
    with pytest.raises(DataError, match=r"column 'logit_1' is missing; .* at least logit_0 and logit_1"):
        read(path, rows(logit_1=None))
    with pytest.raises(DataError, match="there are 1 classes"):
        Predictions(ids=("a",), labels=(0,), members=trained((1,)), logits_MNC=np.zeros((1, 1, 1), np.float32))


def test_an_empty_file(path):
    with pytest.raises(DataError, match="the file has no rows; predict a set that has examples"):
        read(path, rows().slice(0, 0))


def test_a_file_that_is_missing_or_no_parquet_or_torn(tmp_path):
    with pytest.raises(DataError, match=r"gone\.parquet: there is no such file"):
        read_predictions(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("id,label\n")
    with pytest.raises(DataError, match=r"text\.parquet: this is not a readable Parquet file"):
        read_predictions(tmp_path / "text.parquet")
    whole = tmp_path / "whole.parquet"
    write_predictions(whole, predicted())
    (tmp_path / "torn.parquet").write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"torn\.parquet: this is not a readable Parquet file"):
        read_predictions(tmp_path / "torn.parquet")


def test_the_answer_mass_is_kept_where_it_is_known(path):
    plain = predicted(n=5)
    mass_MN = np.random.default_rng(0).uniform(size=plain.logits_MNC.shape[:2])
    write_predictions(path, replace(plain, answer_mass_MN=mass_MN))
    np.testing.assert_array_equal(read_predictions(path).answer_mass_MN, mass_MN)
    write_predictions(path, plain)
    assert read_predictions(path).answer_mass_MN is None


@pytest.mark.parametrize("value", [None, -0.1, 1.1])
def test_an_answer_mass_that_is_no_probability_is_refused(path, value):
    with pytest.raises(DataError, match=r"example 'b', seed 43: answer_mass is .*; it must be a probability, in every"):
        read(path, rows(answer_mass=[0.1, 0.2, 0.3, value]))


@pytest.mark.parametrize("column", ["label", "seed", "logit_1"])
@pytest.mark.parametrize("kind", [pa.bool_(), pa.timestamp("s")])
def test_a_truth_value_or_a_date_is_no_number(path, column, kind):
    table = predicted(n=3).to_table()
    at = table.column_names.index(column)
    path.parent.mkdir()
    pq.write_table(table.set_column(at, column, pa.array([1] * table.num_rows).cast(kind)), path)
    with pytest.raises(DataError, match=f"column '{column}' cannot be read as"):
        read_predictions(path)
