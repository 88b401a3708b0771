import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.input import bounded_parquet
from ensemble_uq_llm.utils.input.bounded_parquet import (
    UnreadableParquetError,
    parquet_schema,
    read_parquet_rows,
    read_parquet_table,
)
from ensemble_uq_llm.utils.input.input_file import VARIABLE, opened


def written(folder, table, **how):
    path = folder / "x.parquet"
    pq.write_table(table, path, **how)
    return path


def table_of(path):
    with opened(path) as file:
        return read_parquet_table(file)


def rows_of(path):
    with opened(path) as file:
        return list(read_parquet_rows(file, row_bytes=500))


def every_kind(rows=3):
    texts = [None, "b", "ü"] * (rows // 3)
    return pa.table(
        {
            "text": texts,
            "large": pa.array(texts, pa.large_string()),
            "bytes": pa.array(texts).cast(pa.binary()),
            "category": pa.array(texts).dictionary_encode(),
            "number": pa.array(range(rows), pa.int8() if rows < 100 else pa.int32()),
            "short": pa.array(np.arange(rows, dtype=np.float16)),
            "list": [["x"], [], None] * (rows // 3),
            "struct": [{"a": "x"}, {"a": None}, None] * (rows // 3),
            "map": pa.array([[("k", "v")], [], None] * (rows // 3), pa.map_(pa.string(), pa.string())),
            "date": [datetime.date(2020, 1, 1)] * rows,
            "null": pa.nulls(rows),
        }
    )


@pytest.mark.parametrize("rows", [0, 3, 600])
def test_rows_and_tables_are_those_of_the_library(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(bounded_parquet, "BATCH_OF_LISTS", 100)  # several batches of the longest
    path = written(tmp_path, every_kind(rows))
    wanted = pq.read_table(path)
    assert rows_of(path) == wanted.to_pylist()
    found = table_of(path)
    assert found.to_pylist() == wanted.to_pylist()
    assert found.column_names == wanted.column_names
    assert found.schema.field("category").type == wanted.schema.field("category").type


def test_notes_are_kept(tmp_path):
    path = written(tmp_path, pa.table({"a": [1]}).replace_schema_metadata({b"who": b"me"}))
    assert table_of(path).schema.metadata[b"who"] == b"me"
    with opened(path) as file:
        assert parquet_schema(file).metadata[b"who"] == b"me"


BOMBS = {
    "numbers": lambda: pa.table({"a": pa.array(np.zeros(10**6, np.int8))}),
    "no numbers": lambda: pa.table({"a": pa.nulls(10**6)}),
    "truth": lambda: pa.table({"a": pa.array(np.zeros(10**6, bool))}),
    "text": lambda: pa.table({"a": pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), ["x" * 10_000])}),
    "lists": lambda: pa.table({"a": [[0.5] * 10**6]}),
    "texts in lists": lambda: pa.table({"a": [["x" * 1000] * 10_000]}),
    "texts in objects": lambda: pa.table({"a": [{"b": "x" * 1000}] * 10_000}),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("read", [table_of, rows_of])
def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, monkeypatch, bomb, read):
    path = written(tmp_path, BOMBS[bomb](), compression="zstd")
    assert path.stat().st_size < 150_000
    monkeypatch.setenv(VARIABLE, "0.007")
    with pytest.raises(DataError, match=rf"x\.parquet: needs .* GB of memory at least, and 0\.007 GB are .*{VARIABLE}"):
        read(path)


def test_what_is_torn_is_refused(tmp_path):
    path = written(tmp_path, every_kind(), write_page_checksum=True, compression="none")
    content = path.read_bytes()
    at = content.index("ü".encode())
    for spoilt in (b"", b"PAR1", content[:-9], content[:at] + b"u" + content[at + 1 :]):
        path.write_bytes(spoilt)
        for read in (table_of, rows_of):
            with pytest.raises(UnreadableParquetError, match=r"."):
                read(path)


def test_names_that_are_no_text_are_refused(tmp_path):
    path = written(tmp_path, pa.table({"abcd": [1]}), store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"abcd", b"ab\xffd"))
    with pytest.raises(UnreadableParquetError, match=r"a column's name, or a text, is not UTF-8: b'ab.xffd'"):
        table_of(path)


def test_dates_that_python_lacks_are_refused(tmp_path):
    path = written(tmp_path, pa.table({"a": pa.array([2**62], pa.timestamp("us"))}))
    with pytest.raises(
        UnreadableParquetError, match=r"the column 'a' of 'timestamp\[us\]' cannot be read: 'date value"
    ):
        rows_of(path)
