import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples, read_records
from ensemble_uq_llm.errors import DataError

BOOLQ = Columns(prompt=("question", "passage"))
THREE = Columns(prompt=("text",), class_names=("red", "green", "blue"))
UNLABELLED = Columns(prompt=("text",), require_labels=False)
TEXT = Columns(prompt=("text",))


def written(folder: Path, content: str | bytes, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_official_boolq_is_recognised(tmp_path):
    row = {"question": "is it", "title": "It", "answer": True, "passage": "It is."}
    path = written(tmp_path, jsonl(row, row | {"answer": False}))
    assert read_examples(path, BOOLQ) == [
        Example(id="0", fields={"question": "is it", "passage": "It is."}, label=1),
        Example(id="1", fields={"question": "is it", "passage": "It is."}, label=0),
    ]


def test_superglue_boolq_is_recognised(tmp_path):
    row = {"question": "is it", "passage": "It is.", "idx": 17, "label": False}
    [example] = read_examples(written(tmp_path, jsonl(row)), BOOLQ)
    assert (example.id, example.label) == ("17", 0)


def test_superglue_test_rows_have_no_label(tmp_path):
    [example] = read_examples(written(tmp_path, jsonl({"text": "a", "idx": 0})), UNLABELLED)
    assert example.label is None


@pytest.mark.parametrize("name", ["dev.jsonl", "train_part.jsonl"])
def test_the_real_boolq(shared_dir, name):
    examples = read_examples(shared_dir / "data" / "boolq" / name, BOOLQ)
    yes = sum(example.label or 0 for example in examples)
    assert (len(examples), yes) == {"dev.jsonl": (3270, 2033), "train_part.jsonl": (1933, 1207)}[name]


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, 0), (2, 2), ("red", 0), ("blue", 2), ("1", 1), (None, None), ("", None)],
)
def test_labels_of_three_classes(tmp_path, value, label):
    columns = Columns(prompt=("text",), class_names=THREE.class_names, require_labels=False)
    [example] = read_examples(written(tmp_path, jsonl({"text": "a", "label": value})), columns)
    assert example.label == label


def test_a_class_name_goes_before_a_number(tmp_path):
    path = written(tmp_path, jsonl({"text": "a", "label": "1"}, {"text": "a", "label": 1}))
    columns = Columns(prompt=("text",), class_names=("1", "2", "3"))
    assert [example.label for example in read_examples(path, columns)] == [0, 0]


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1", "yes"])
def test_csv_spells_labels_in_text(tmp_path, text):
    path = written(tmp_path, f"id,text,label\nx,hello,{text}\n", "rows.csv")
    assert read_examples(path, TEXT) == [Example(id="x", fields={"text": "hello"}, label=1)]


def test_csv_tolerates_bom_crlf_blank_lines_and_quoted_newlines(tmp_path):
    content = '\ufefftext,label\r\n\r\n"two\r\nlines, ""quoted""",no\r\nplain,yes\r\n'
    path = written(tmp_path, content, "rows.csv")
    assert [example.fields["text"] for example in read_examples(path, TEXT)] == ['two\r\nlines, "quoted"', "plain"]
    assert [record.line for record in read_records(path)] == [3, 5]


def test_jsonl_tolerates_bom_crlf_blank_lines_and_no_last_newline(tmp_path):
    path = written(tmp_path, b'\xef\xbb\xbf\r\n{"text": "a", "label": 1}\r\n\n  \n{"text": "b", "label": 0}')
    assert [record.line for record in read_records(path)] == [2, 5]
    assert [example.id for example in read_examples(path, TEXT)] == ["0", "1"]


def test_parquet(tmp_path):
    table = pa.table({"text": ["a", "b"], "label": pa.array([True, None]), "idx": [5, 6]})
    pq.write_table(table, tmp_path / "rows.parquet")
    examples = read_examples(tmp_path / "rows.parquet", UNLABELLED)
    assert [(example.id, example.label) for example in examples] == [("5", 1), ("6", None)]


BAD_LINES = [
    ('{"text": "a"}', r"2: the field 'label' is missing; every row needs a label: true/false, a class number 0 to 1"),
    ('{"text": "a", "label": null}', r"2: the field 'label' is null; every row needs a label"),
    ('{"label": 1}', r"2: the field 'text' is missing; it must be text"),
    ('{"text": 5, "label": 1}', r"2: the field 'text' is 5; it must be text"),
    ('{"text": null, "label": 1}', r"2: the field 'text' is null; it must be text"),
    ('{"text": ["a"], "label": 1}', r"2: the field 'text' is a list of 1; it must be text"),
    ('{"text": "\\ud83d", "label": 1}', r"2: character 0 of the field 'text' is half of a surrogate pair"),
    ('{"text": "a", "label": 2}', r"2: the field 'label' is 2; a label is true/false, a class number 0 to 1, or one"),
    ('{"text": "a", "label": -1}', r"2: the field 'label' is -1; a label is"),
    ('{"text": "a", "label": 1.5}', r"2: the field 'label' is 1.5; a label is"),
    ('{"text": "a", "label": NaN}', r"2: the field 'label' is NaN \(for an unlabelled row write null\); a label is"),
    ('{"text": "a", "label": 1' + "0" * 400 + "}", r"2: the field 'label' is 10{79}\.\.\.; a label is"),
    ('{"text": "a", "label": 1' + "0" * 5000 + "}", r"2: holds a number of thousands of digits; write it as text"),
    (
        '{"text": "a", "label": "yess"}',
        r"2: the field 'label' is 'yess'; .*'no', 'yes'; did you mean 'yes'\?",
    ),
    ('{"text": "a", "label": "Yes"}', r"2: the field 'label' is 'Yes'; .*did you mean 'yes'\?"),
    ('{"text": "a", "label": {}}', r"2: the field 'label' is an object; a label is"),
    ('{"text": "a", "label": 1', r"2: broken JSON at column 25: Expecting ',' delimiter"),
    ("nonsense " * 50, r"2: broken JSON at column 1: Expecting value: '(nonsense ){8}nonsense'\.\.\.$"),
    ("[" * 100_000, r"2: nested too deeply; a row is one flat object"),
    ('{"a":' * 100_000, r"2: nested too deeply"),
    ('"just text"', r"2: 'just text' where an object such as"),
    ("17", r"2: 17 where an object such as"),
    ("[1, 2]", r"2: a list where an object is expected; rewrite the file with `jq"),
    ("[", r"2: one object must stand on one line; rewrite the file with `jq"),
    ('{"text": "a", "label": 1, "label": 0}', r"2: the field 'label' occurs twice"),
    ('{"text": "b\\u00e4", "label": 1, "id": [3]}', r"2: the field 'id' is a list of 1; an id is text or a whole"),
    ('{"text": "a", "label": 1, "id": 0}', r"2: the id '0' is already that of line 1; every row needs an id"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES, ids=[line[:40] for line, _ in BAD_LINES])
def test_each_bad_line_is_named(tmp_path, line, message):
    first = {"text": "a", "label": 1} | ({"id": 0} if '"id"' in line else {})
    with pytest.raises(DataError, match=r"rows\.jsonl:" + message):
        read_examples(written(tmp_path, jsonl(first) + line + "\n"), TEXT)


def test_true_is_no_class_of_three(tmp_path):
    with pytest.raises(DataError, match=r":1: the field 'label' is True; a label is a class number 0 to 2, or one of"):
        read_examples(written(tmp_path, jsonl({"text": "a", "label": True})), THREE)


def test_broken_utf8_names_its_byte(tmp_path):
    path = written(tmp_path, b'\n{"text": "\xe4", "label": 1}\n')
    with pytest.raises(DataError, match=r":2: byte 10 of the line \(0xe4\) is not UTF-8; save the file as UTF-8"):
        read_examples(path, TEXT)


def test_utf16_is_named(tmp_path):
    path = written(tmp_path, "text,label\na,1\n".encode("utf-16"), "rows.csv")
    with pytest.raises(DataError, match=":1: the file is UTF-16; save it as UTF-8"):
        read_examples(path, TEXT)


def test_a_line_without_end_is_refused(tmp_path):
    with pytest.raises(DataError, match=":1: longer than 16,777,216 bytes; a line holds one row"):
        read_examples(written(tmp_path, b"x" * (2**24 + 2)), TEXT)


def test_at_most_ten_problems_are_shown(tmp_path):
    path = written(tmp_path, jsonl(*[{"text": index, "label": 1} for index in range(1000)]))
    with pytest.raises(DataError, match=r"(?s):1: .*:10: .*\nand 990 more$") as caught:
        read_examples(path, TEXT)
    assert len(str(caught.value).splitlines()) == 11


def test_a_column_that_no_row_has_is_said_once(tmp_path):
    path = written(tmp_path, jsonl(*[{"txt": "a", "label": 1}] * 3))
    with pytest.raises(DataError, match=r":1: no row has the field 'text'; did you mean 'txt'\?; the rows have 'txt'"):
        read_examples(path, TEXT)


def test_no_label_column_at_all(tmp_path):
    with pytest.raises(DataError, match="no row has the field 'answer or label'; the rows have 'text'"):
        read_examples(written(tmp_path, jsonl({"text": "a"})), TEXT)


def test_two_label_columns_need_a_choice(tmp_path):
    path = written(tmp_path, jsonl({"text": "a", "label": 1, "answer": False}))
    with pytest.raises(DataError, match=r"rows have both 'answer', 'label'; say which is the label \(label_column\)"):
        read_examples(path, TEXT)
    [example] = read_examples(path, Columns(prompt=("text",), label="answer"))
    assert example.label == 0


CSV_FILES = [
    ("a,1\nb,0\n", r"rows\.csv:2: no row has the field 'text'.*\(the first line of a CSV file names its columns\)"),
    ("text,label\na\n", r":2: 1 values for the 2 columns of the header; put quotes around a value that holds a comma"),
    ("text,label\na,1\nb,c,0\n", r":3: 3 values for the 2 columns of the header"),
    ("text,text,label\na,b,1\n", r":1: the header names the column 'text' twice"),
    ('text,label\n"a,1\n', r":2: broken CSV: .*is a quote not closed"),
    ('text,label\n"a" b,1\n', r":2: broken CSV"),
    (b"text,label\n\xff,1\n", r":2: byte 0 of the line \(0xff\) is not UTF-8"),
    ("text,label\n", r"rows\.csv: holds no rows; it must hold at least one"),
    ("text,label\na,maybe\n", r":2: the field 'label' is 'maybe'; a label is"),
    ("text,label\na,\n", r":2: the field 'label' is ''; every row needs a label"),
]


@pytest.mark.parametrize(("content", "message"), CSV_FILES)
def test_each_csv_fault_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_examples(written(tmp_path, content, "rows.csv"), TEXT)


def test_parquet_without_the_column(tmp_path):
    pq.write_table(pa.table({"txt": ["a"], "label": [1]}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet:1: no row has the field 'text'; did you mean 'txt'\?"):
        read_examples(tmp_path / "rows.parquet", TEXT)


def test_what_is_no_parquet(tmp_path):
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_examples(written(tmp_path, b"PAR1 nothing", "rows.parquet"), TEXT)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_an_empty_file(tmp_path, content, name):
    with pytest.raises(DataError, match="holds no rows"):
        read_examples(written(tmp_path, content, name), TEXT)


def test_paths_that_are_no_file(tmp_path):
    written(tmp_path, jsonl({"text": "a", "label": 1}), "dev.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path, message in [
        (tmp_path / "dve.jsonl", r"dve\.jsonl: not found; did you mean 'dev\.jsonl'\? \(relative paths start from"),
        (tmp_path / "no" / "dev.jsonl", "not found; there is no folder"),
        (tmp_path, r"is a folder; name one file in it: 'dev\.jsonl'"),
        (tmp_path / "pipe.jsonl", "not a regular file"),
        ("https://example.org/dev.jsonl", "is an address; download the file and name its local path"),
        (written(tmp_path, "x", "rows.txt"), r"unknown format '\.txt'; known are \.jsonl, \.json, \.csv, \.tsv, \.par"),
    ]:
        with pytest.raises(DataError, match=message):
            read_examples(path, TEXT)


def test_a_long_file_is_read_whole(tmp_path):
    path = written(tmp_path, jsonl({"question": "is it so", "passage": "word " * 120, "answer": True}) * 20_000)
    assert len(read_examples(path, BOOLQ)) == 20_000


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.dictionaries(st.sampled_from(["text", "label", "id", "x"]), JSON | TEXTS | st.integers(0, 1), max_size=4)
FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@FUZZ
@given(rows=st.lists(ROWS, max_size=6))
def test_any_json_gives_good_examples_or_a_data_error(tmp_path, rows):
    path = written(tmp_path, jsonl(*rows))
    try:
        examples = read_examples(path, TEXT)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017  (that nothing else escapes is the test)
    else:
        assert len(examples) == len(rows) == len({example.id for example in examples})
        assert all(example.label in (0, 1) and isinstance(example.fields["text"], str) for example in examples)


@FUZZ
@given(data=st.data())
def test_damaged_bytes_give_a_data_error_or_rows(tmp_path, data):
    name = data.draw(st.sampled_from(["rows.jsonl", "rows.csv"]))
    good = {"rows.jsonl": jsonl({"text": "a", "label": 1}) * 3, "rows.csv": 'text,label\n"a",1\n"b,c",0\n'}[name]
    content = bytearray(good.encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        read_examples(written(tmp_path, bytes(content), name), TEXT)
    except DataError as error:
        assert name in str(error)  # noqa: PT017


@FUZZ
@given(texts=st.lists(TEXTS, min_size=1, max_size=5), labels=st.data())
def test_the_three_formats_agree(tmp_path, texts, labels):
    classes = labels.draw(st.lists(st.integers(0, 1), min_size=len(texts), max_size=len(texts)))
    rows = [{"text": text, "label": label} for text, label in zip(texts, classes, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    quoted = "".join('"{}",{}\n'.format(row["text"].replace('"', '""'), row["label"]) for row in rows)
    expected = [
        Example(id=str(index), fields={"text": row["text"]}, label=row["label"]) for index, row in enumerate(rows)
    ]
    assert read_examples(tmp_path / "rows.parquet", TEXT) == expected
    assert read_examples(written(tmp_path, jsonl(*rows)), TEXT) == expected
    assert read_examples(written(tmp_path, "text,label\n" + quoted, "rows.csv"), TEXT) == expected
