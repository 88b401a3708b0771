"""One meaning a value in every format, and what is wrong told by value."""

import json
import warnings

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.label_values import key_of

NAMES = [
    ("no", "yes"), ("yes", "no"), ("true", "false"), ("false", "true"), ("True", "False"), ("bad", "good"),
    ("0", "1"), ("1", "0"), ("1", "2", "3"), ("01", "02"), ("yes", "no", "maybe"), (" yes ", "yes"), ("nan", "None"),
]  # fmt: skip
VALUES = [
    True, False, "true", "True", "FALSE", 0, 1, 2, "0", "1", 1.0, 0.0, "1.0", "01", " yes ", "yes", "no", "NO", None,
    "", float("nan"), "nan", "None", np.int64(1), np.float32(1), np.bool_(True), -1, 1.5,
]  # fmt: skip


def labels(path, names):
    """The labels of a file, or what is refused; a warning is no answer to the question."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            examples = read_examples(path, Columns(prompt=("text",), class_names=names, require_labels=False))
        except DataError:
            return "refused"
    return [example.label for example in examples]


def plain(value):
    return value.item() if isinstance(value, np.generic) else value


def in_every_format(folder, value):
    """Write one row with a label in each format, as its usual writer spells it."""
    frame = pd.DataFrame({"text": ["a"], "label": pd.Series([value], dtype=object)})
    for name, separator in (("rows.csv", ","), ("semicolons.csv", ";"), ("tabs.csv", "\t"), ("rows.tsv", "\t")):
        frame.to_csv(folder / name, sep=separator, index=False, na_rep="NaN" if value is not None else "")
        yield folder / name
    (folder / "rows.jsonl").write_text(json.dumps({"text": "a", "label": plain(value)}) + "\n")
    yield folder / "rows.jsonl"
    pq.write_table(pa.table({"text": ["a"], "label": pa.array([plain(value)])}), folder / "rows.parquet")
    yield folder / "rows.parquet"
    if isinstance(value, str):
        coded = pa.table({"text": ["a"], "label": pa.array([value]).dictionary_encode()})
        pq.write_table(coded, folder / "categories.parquet")
        yield folder / "categories.parquet"


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__}-{value}")
def test_a_label_means_one_class_in_every_format(tmp_path, names, value):
    found = {path.name: labels(path, names) for path in in_every_format(tmp_path, value)}
    assert len({str(each) for each in found.values()}) == 1, found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sampled_from(NAMES), values=st.lists(st.sampled_from(["true", "True", "1", "yes", "no", "0"])))
def test_equal_values_of_a_column_have_equal_labels(tmp_path, names, values):
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"a,{value}\n" for value in ["yes", *values]))
    found = labels(tmp_path / "rows.csv", names)
    if found != "refused":
        assert len(set(zip(map(key_of, ["yes", *values]), found, strict=True))) == len(
            set(map(key_of, ["yes", *values]))
        )


def test_the_issue_of_true_and_false(tmp_path):
    """JSON's true and false, a CSV file's, and both spellings in one column."""
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": true}\n{"text": "b", "label": false}\n')
    (tmp_path / "a.csv").write_text("text,label\na,true\nb,false\n")
    (tmp_path / "b.csv").write_text("text,label\na,True\nb,true\nc,FALSE\n")
    assert labels(tmp_path / "a.jsonl", ("true", "false")) == labels(tmp_path / "a.csv", ("true", "false")) == [0, 1]
    assert labels(tmp_path / "b.csv", ("true", "false")) == [0, 0, 1]
    assert labels(tmp_path / "a.jsonl", ("yes", "no")) == [0, 1]


@pytest.mark.parametrize(("names", "expected"), [(("no", "yes"), [1, 0, None]), (("yes", "no"), [0, 1, None])])
def test_the_classes_of_a_data_set_library(tmp_path, names, expected):
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["yes", "no"]))
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert labels(tmp_path / "rows.parquet", names) == expected


def test_reading_by_order_or_number_alone_is_said(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": true}\n')
    columns = Columns(prompt=("text",), class_names=("spam", "ham"))
    with pytest.warns(UserWarning, match="false is read as the first of class_names, 'spam', and true as the second"):
        read_examples(tmp_path / "a.jsonl", columns)
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [0]}, features=features)
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.warns(UserWarning, match="own names 'neg', 'pos' are read as 'spam', 'ham', by number"):
        read_examples(tmp_path / "rows.parquet", columns)


def test_wrong_labels_are_counted_by_value(tmp_path):
    rows = ["POSITIVE"] * 38 + ["NEGATIVE"] * 12 + ["positive"] + [""]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"a,{label}\n" for label in rows))
    with pytest.raises(DataError) as caught:
        read_examples(tmp_path / "a.csv", Columns(prompt=("text",), class_names=("negative", "positive")))
    assert str(caught.value) == (
        f"{tmp_path}/a.csv:2: the field 'label' is 'POSITIVE' 38 times, 'NEGATIVE' 12 times, '' 1 time; "
        "a label is true/false, a class number 0 to 1, or one of 'negative', 'positive'; did you mean 'positive'?; "
        "did you mean 'negative'?; every row needs a label (label_column, class_names)"
    )


def test_many_wrong_values_are_summed_up(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"a,{index}\n" for index in range(5, 105)))
    with pytest.raises(DataError, match=r"'5' 1 time, .*'12' 1 time, 92 other values 92 times; a label is"):
        read_examples(tmp_path / "a.csv", Columns(prompt=("text",)))
