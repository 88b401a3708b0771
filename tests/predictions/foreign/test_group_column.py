import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.predictions.foreign.group_column import read_groups


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_every_kind_of_table_has_its_groups(tmp_path):
    wanted = {"1": "no", "2": "se"}
    csv = write(tmp_path / "a.csv", "id,country\n1,no\n2,se\n")
    jsonl = write(tmp_path / "a.jsonl", '{"id": "1", "country": "no"}\n{"id": "2", "country": "se"}\n')
    pq.write_table(pa.table({"qid": [1, 2, 1], "country": ["no", "se", "no"]}), tmp_path / "a.parquet")

    assert read_groups(csv, "country") == read_groups(jsonl, "country") == wanted
    assert read_groups(tmp_path / "a.parquet", "country", columns={"id": "qid", "label": "gold"}) == wanted


def test_without_ids_rows_are_counted_but_not_those_of_a_table_apart(tmp_path):
    bare, other = write(tmp_path / "a.csv", "g\n7\n8\n"), write(tmp_path / "b.csv", "qid,g\n1,8\n0,7\n")

    assert read_groups(bare, "g") == {"0": "7", "1": "8"}
    with pytest.raises(DataError, match=r"b\.csv: there is no column 'id', by which .* there are 'qid', 'g'; call the"):
        read_groups(other, "g", apart=True)
    assert read_groups(other, "g", columns={"id": "qid"}, apart=True) == {"1": "8", "0": "7"}


@pytest.mark.parametrize(("column", "columns"), [("label", None), ("gold", {"label": "gold"})])
def test_true_labels_are_no_groups(tmp_path, column, columns):
    with pytest.raises(ConfigError, match=f"--group {column}: the true labels, which nobody knows .* with --by-class"):
        read_groups(write(tmp_path / "a.csv", "id,label,gold\n1,0,0\n"), column, columns=columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,country\n1,no\n", r"a\.csv: there is no column 'land'; there are 'id', 'country'"),
        ("id,land\n1,\n", r"a\.csv: line 2: land is empty; give every example its group"),
        ("id,land\n1,no\n1,se\n", r"a\.csv: line 3: example '1' is in group 'se' here and in 'no' above"),
        ("id,land,land\n1,no,se\n", r"a\.csv:1: the header names the column 'land' twice"),
    ],
)
def test_a_column_that_does_not_say_it_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_groups(write(tmp_path / "a.csv", text), "land")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    pq.write_table(pa.table([[1], ["no"], ["se"]], names=["id", "land", "land"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: column 'land' is there twice; keep one of them"):
        read_groups(tmp_path / "a.parquet", "land")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.npz: columns are read from \.parquet, \.csv, \.tsv, \.jsonl files"):
        read_groups(write(tmp_path / "a.npz", "x"), "land")
    with pytest.raises(DataError, match=r"b\.csv: there is no such file; correct the path"):
        read_groups(tmp_path / "b.csv", "land")
