import csv

import pytest

from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples, read_records
from ensemble_uq_llm.errors import DataError

TEXT = Columns(prompt=("text",))


def written(folder, content, name="rows.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("rows.csv", 'text,label\n"a, b",1\n', "a, b"),
        ("rows.csv", 'text;label\n"a; b, c";1\n', "a; b, c"),
        ("rows.csv", "text;label\na, b;1\n", "a, b"),  # no quotes are needed for what does not separate
        ("rows.csv", "text\tlabel\na; b, c\t1\n", "a; b, c"),
        ("rows.csv", "text,label;x\na;b,1\n", None),  # the header has a comma: semicolons separate nothing
        ("rows.csv", '"text";"label"\r\n"a";"1"\r\n', "a"),
        ("rows.csv", '"x, y";text;label\n1;a;1\n', "a"),  # a comma inside quotes separates nothing
        ("rows.tsv", "text\tlabel\na, b; c\t1\n", "a, b; c"),
        ("rows.TSV", '\ufefftext\tlabel\n"a ""b""\tc"\t1\n', 'a "b"\tc'),
        ("rows.tsv", 'text\tlabel\nit is 5" long\t1\n', 'it is 5" long'),
    ],
)
def test_the_header_says_what_separates(tmp_path, name, content, text):
    path = written(tmp_path, content, name)
    if text is None:
        with pytest.raises(DataError, match="no row has the field 'answer or label'; the rows have 'text', 'label;x'"):
            read_examples(path, TEXT)
    else:
        [example] = read_examples(path, TEXT)
        assert (example.fields["text"], example.label) == (text, 1)


def test_a_file_of_one_column_is_never_cut(tmp_path):
    path = written(tmp_path, "text\na; b\nc\td\n")
    assert [record.values["text"] for record in read_records(path)] == ["a; b", "c\td"]


def test_a_value_may_be_longer_than_pythons_own_limit(tmp_path):
    limit = csv.field_size_limit()
    long = "word " * 100_000
    [example] = read_examples(written(tmp_path, f"text,label\n{long},1\n"), TEXT)
    assert example.fields["text"] == long
    lines = "word\n" * 100_000
    [example] = read_examples(written(tmp_path, f'text,label\n"{lines}",1\n'), TEXT)
    assert example.fields["text"] == lines
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "text;label\na;b;1\n", ":2: 3 values for the 2 columns .* that holds a semicolon"),
        ("rows.tsv", "text\tlabel\na\tb\t1\n", ":2: 3 values for the 2 columns .* that holds a tab"),
        ("rows.csv", "sep=,\ntext,label,id\n", r":2: 3 values for the 2 columns .* \(the header is 'sep=', ''\)"),
        ("rows.csv", "text,label\ra,1\r", r":1: a carriage return stands outside quotes; save the file with"),
        ("rows.tsv", "text,label\na,1\n", r"the rows have 'text,label' \(the first line of a TSV file names"),
        ("rows.tsv", 'text\tlabel\n"a\t1\nb"\t0\n', ":2: a value in quotes goes over several lines with tabs"),
        ("rows.tsv", 'text\tlabel\n"a" b\t1\n', ":2: broken TSV: .*; is a quote not closed"),
        ("rows.csv", "text,label\nä,1\n".encode("latin-1"), r":2: byte 0 of the line \(0xe4\) is not UTF-8"),
        ("rows.csv", "text,label\na,1\n".encode("utf-16"), ":1: the file is UTF-16; save it as UTF-8"),
        ("rows.csv", "text,label\na,1\n".encode("utf-16-le"), ":1: holds zero bytes, so it is no text in UTF-8"),
        ("rows.csv", "text,label\na,1\n".encode("utf-32"), ":1: the file is UTF-16"),
        ("rows.csv", "text,label\n“a”,1\n".encode("cp1252"), r":2: byte 0 of the line \(0x93\) is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        read_examples(written(tmp_path, content, name), TEXT)


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    written(tmp_path, "text,label\na,1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(read_examples("~/rows.csv", TEXT)) == 1
    with pytest.raises(DataError, match="nobody-of-that-name"):
        read_examples("~nobody-of-that-name/rows.csv", TEXT)
