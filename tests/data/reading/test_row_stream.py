import csv
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.data.reading import row_stream
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples
from ensemble_uq_llm.data.reading.row_stream import ROWS, checked_stream
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.input import bounded_parquet, input_file

TEXT = Columns(prompt=("text",), require_labels=False)


def rows(number, **more):
    return [{"id": f"row {n}", "text": f"question {n}", **more} for n in range(number)]


def written(folder, content, ending):
    path = folder / f"rows{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    elif ending == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(content[0]))
            writer.writeheader()
            writer.writerows(content)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("names", [("id", "text"), ("text",)])
def test_a_stream_has_the_examples_of_the_whole_file(tmp_path, ending, names, monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 7)
    path = written(tmp_path, [{name: row[name] for name in names} for row in rows(23)], ending)
    stream = checked_stream(path, TEXT)
    shards = list(stream.shards())

    assert [each for shard in shards for each in shard.examples] == read_examples(path, TEXT)
    assert [(shard.start, len(shard.examples)) for shard in shards] == [(0, 7), (7, 7), (14, 7), (21, 2)]
    assert stream.rows == 23
    assert list(stream.shards()) == shards
    assert checked_stream(path, TEXT).digest == stream.digest


def test_an_id_that_only_later_rows_have_is_missed_where_it_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 2)
    path = written(tmp_path, [{"text": "a"}, {"text": "b"}, {"text": "c", "id": "third"}], ".jsonl")
    with pytest.raises(DataError, match=r"rows.jsonl:1: no row has the field 'id'"):
        checked_stream(path, TEXT)


def test_labels_are_not_looked_at(tmp_path):
    path = written(tmp_path, rows(3, answer="perhaps", label=[1]), ".jsonl")
    [shard] = checked_stream(path, Columns(prompt=("text",), label="label")).shards()
    assert [example.label for example in shard.examples] == [None, None, None]


def test_two_rows_of_one_id_are_found_across_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 2)
    path = written(tmp_path, [*rows(5), {"id": "row 1", "text": "again"}], ".csv")
    with pytest.raises(DataError, match=r"rows.csv:7: the id 'row 1' is already that of line 3"):
        checked_stream(path, TEXT)


def test_a_bad_row_is_named_whatever_shard_it_is_in(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 2)
    path = written(tmp_path, [*rows(7), {"id": "bad", "text": 3}], ".jsonl")
    with pytest.raises(DataError, match=r"rows.jsonl:8: the field 'text' is 3; it must be text"):
        checked_stream(path, TEXT)
    path.write_text(path.read_text().replace('{"id": "bad", "text": 3}', "{broken"))
    with pytest.raises(DataError, match=r"rows.jsonl:8: broken JSON"):
        checked_stream(path, TEXT)


def test_no_rows_and_what_the_caller_cannot_use(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match=r"rows.jsonl: holds no rows"):
        checked_stream(path, TEXT)

    def look(examples):
        raise DataError(f"{examples[0].id} is too long")

    with pytest.raises(DataError, match="row 0 is too long"):
        checked_stream(written(tmp_path, rows(1), ".jsonl"), TEXT, look=look)


def test_a_file_that_changes_in_between_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 2)
    path = written(tmp_path, rows(5), ".jsonl")
    stream = checked_stream(path, TEXT)
    for content in (rows(6), [*rows(4), {"id": "row 4", "text": "another"}]):
        written(tmp_path, content, ".jsonl")
        shards = stream.shards()
        assert [len(next(shards).examples), len(next(shards).examples)] == [2, 2]
        with pytest.raises(DataError, match="changed while its rows were being read"):
            next(shards)
    written(tmp_path, rows(4), ".jsonl")
    with pytest.raises(DataError, match="changed while its rows were being read"):
        list(stream.shards())


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_memory_is_that_of_a_shard(tmp_path, ending, monkeypatch):
    """A file of thirty shards takes hardly more than one of three; read as a whole it takes ten times as much."""

    def peak(number, *, whole=False):
        path = written(tmp_path, [{"id": str(n), "text": f"{n} " * 200} for n in range(number)], ending)
        tracemalloc.start()
        if whole:
            read_examples(path, TEXT)
        else:
            for _ in checked_stream(path, TEXT).shards():
                pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    monkeypatch.setattr(row_stream, "ROWS", 100)
    monkeypatch.setattr(bounded_parquet, "BATCH_OF_LISTS", 100)
    short, long = peak(300), peak(3_000)
    assert long < 1.5 * short + 30 * 100 * 64  # what is known of each shard and each id
    assert peak(3_000, whole=True) > (2 if ending == ".parquet" else 4) * long


def test_a_file_may_be_longer_than_what_may_be_held_and_a_row_may_not(tmp_path, monkeypatch):
    monkeypatch.setenv(input_file.VARIABLE, "0.0001")  # 100,000 bytes
    monkeypatch.setattr(row_stream, "BYTES", 50_000)
    path = written(tmp_path, [{"id": str(n), "text": "x" * 1_000} for n in range(300)], ".jsonl")
    stream = checked_stream(path, TEXT)
    assert stream.rows == 300
    assert max(len(shard.examples) for shard in stream.shards()) < 50
    with pytest.raises(DataError, match=r"needs .* of memory at least"):
        read_examples(path, TEXT)
    written(tmp_path, [{"text": "x" * 200_000}], ".jsonl")
    with pytest.raises(DataError, match=r"needs .* of memory at least"):
        checked_stream(path, TEXT)


def test_a_shard_has_rows_enough_for_full_passes():
    assert ROWS == 1_000


def test_questions_with_options_keep_their_options(tmp_path, monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 2)
    columns = Columns(prompt=("question", "options"), class_names=("A", "B", "C", "D"), require_labels=False)
    content = [
        {
            "id": f"arc {n}",
            "question": {
                "stem": f"what is {n}",
                "choices": [{"label": c, "text": f"{n} {c}"} for c in "ABCD"[: 3 + n % 2]],
            },
        }
        for n in range(5)
    ]
    path = written(tmp_path, content, ".jsonl")
    examples = [each for shard in checked_stream(path, columns).shards() for each in shard.examples]
    assert [(each.id, each.options) for each in examples] == [(f"arc {n}", 3 + n % 2) for n in range(5)]
    assert examples == read_examples(path, columns)
