import time

import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.input.input_file import VARIABLE, opened
from ensemble_uq_llm.utils.input.json_rows import DEEPEST, json_rows
from ensemble_uq_llm.utils.input.problems import Problems


def rows_of(folder, content):
    path = folder / "x.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = Problems(str(path))
    with opened(path) as file:
        rows = list(json_rows(file, problems))
    problems.raise_if_any()
    return rows


def test_lines_are_numbered_past_blank_ones(tmp_path):
    assert rows_of(tmp_path, '\ufeff{"a": 1}\n\n  \n{"b": [1, {"c": null}]}') == [
        (1, {"a": 1}),
        (4, {"b": [1, {"c": None}]}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1, "a": 2}', "1: the field 'a' occurs twice"),
        ('{"x": {"a": 1, "a": 2}}', "1: the field 'a' occurs twice"),
        ("[" * 100_000, "1: nested too deeply"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "1: nested too deeply"),
        ('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "1: nested too deeply"),
        ('{}\n{"a": ' + "9" * 5000 + "}", "2: holds a number of thousands of digits; write it as text"),
        ('{"a": 1}{"b": 1}', "1: broken JSON at column 9: Extra data"),
        ('{"a\0": 1}', "1: holds zero bytes"),
        ('{"a": 1}'.encode("utf-16"), "1: the file is UTF-16"),
        (b'{"a": "\xff"}', "1: byte 7 of the line .0xff. is not UTF-8"),
        (b'{"a": "\xed\xa0\xbd"}', "1: byte 7 of the line .0xed. is not UTF-8"),
        (b"\x1f\x8b\x08\x00", "1: the file is no text but gzip; unpack or convert it"),
        (b"PK\x03\x04", "1: the file is no text but zip"),
        ("x" * 17_000_000, "1: longer than 16,777,216 bytes; a line holds one row"),
        ("[1]", "1: a list where an object is expected"),
        ("\n".join(["{"] * 20), "1: one object must stand on one line"),
        ("\n".join(['{"a"}'] * 20), "and 10 more"),
    ],
)
def test_what_is_no_flat_object_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, content)


def test_the_deepest_that_is_read(tmp_path):
    [(_, row)] = rows_of(tmp_path, '{"a":' * DEEPEST + "1" + "}" * DEEPEST)
    assert list(row) == ["a"]


def test_rows_count_as_what_they_take_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0.001")
    assert len(rows_of(tmp_path, "{}\n" * 3000)) == 3000
    with pytest.raises(DataError, match=r"needs 0\.001 GB of memory at least, and 0\.001 GB are allowed"):
        rows_of(tmp_path, "{}\n" * 4000)


def test_a_long_line_costs_little_time(tmp_path):
    began = time.process_time()
    with pytest.raises(DataError, match="longer than"):
        rows_of(tmp_path, b'{"a": "' + b"x" * 100_000_000)
    assert time.process_time() - began < 2
