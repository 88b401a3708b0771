import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign_tables import load_predictions

ROWS = [["id", "label", "seed", "prob_0", "prob_1"], ["007", "1", "1", "0.25", "0.75"], ["b", "", "1", "0.5", "0.5"]]


def written(tmp_path, name, separator, rows=ROWS, end="\n"):
    path = tmp_path / name
    path.write_text("".join(separator.join(row) + end for row in rows), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("name", "separator"), [("x.csv", ","), ("x.csv", ";"), ("x.csv", "\t"), ("x.tsv", "\t"), ("X.TSV", "\t")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_separator_reads_alike(tmp_path, name, separator, end):
    predictions = load_predictions(written(tmp_path, name, separator, end=end))

    assert (predictions.ids, predictions.labels) == (("007", "b"), (1, None))
    assert np.exp(predictions.logits_MNC[0]) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]), rel=1e-15)


def test_a_tsv_file_is_separated_by_tabs_whatever_its_header_holds(tmp_path):
    rows = [["id", "a,b", "prob_1"], ["x", "1;2", "0.5"]]

    assert load_predictions(written(tmp_path, "x.tsv", "\t", rows)).ids == ("x",)


def test_a_comma_in_quotes_separates_nothing(tmp_path):
    rows = [['"id"', '"a, b"', '"prob_1"'], ["x", "1", "0.5"]]

    assert load_predictions(written(tmp_path, "x.csv", ";", rows)).ids == ("x",)


def test_decimal_commas_beside_semicolons(tmp_path):
    rows = [[cell.replace(".", ",") for cell in row] for row in ROWS]
    predictions = load_predictions(written(tmp_path, "x.csv", ";", rows))

    assert np.exp(predictions.logits_MNC[0]) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]), rel=1e-15)


def test_names_with_spaces_are_text_all_the_same(tmp_path):
    rows = [["id ", " label", " prob_1"], ["007", "1", "0.5"]]

    assert load_predictions(written(tmp_path, "x.csv", ",", rows)).ids == ("007",)


@pytest.mark.parametrize("length", [131_072, 131_073, 3_000_000])
def test_values_of_any_length(tmp_path, length):
    long = "x" * length
    path = written(tmp_path, "x.csv", ",", [["id", "text", "prob_1"], ["a", long, "0.5"], ["b", long, "1.5"]])

    with pytest.raises(DataError, match=r"x\.csv: line 3: prob_1 is 1\.5"):
        load_predictions(path)
    path = written(tmp_path, "y.csv", ",", [["id", "text", "prob_1"], [long, "", "0.5"]])
    assert load_predictions(path).ids == (long,)


def test_rows_are_placed_past_blank_lines_and_breaks_in_quotes(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('\n"id",text,prob_1\na,"two\n\nlines, ""quoted""",0.5\n\n\nb,x,2\n', encoding="utf-8")

    with pytest.raises(DataError, match=r"x\.csv: line 8: prob_1 is 2\.0"):
        load_predictions(path)


def test_what_is_no_utf_8_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("id,prob_1\né,0.5\n".encode("latin-1"))

    with pytest.raises(DataError, match=r"x\.csv:2: byte 0 of the line \(0xe9\) is not UTF-8"):
        load_predictions(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('id,label,prob\n"a,1,0.5\nb,0,0.25\n', r"x\.csv:2: broken CSV: .*; is a quote not closed"),
        ('id,label,prob\n"a"x,1,0.5\n', r"x\.csv:2: broken CSV"),
        (
            "id,label,prob\na,1\nb,0,0.5,7\n",
            r"x\.csv:2: 2 values for the 3 columns of the header(.|\n)*x\.csv:3: 4 val",
        ),
        ("id,label,prob, prob\na,1,0.5,0.6\n", r"x\.csv:1: the header names the column 'prob' twice"),
        ("id,label,prob\na,01,0.5\n", r"x\.csv: line 2: label is '01'; it must be a class number 0 to 1"),
        ("id,label,prob\na,\uff11,0.5\n", r"x\.csv: line 2: label is '\uff11'; it must be a class number 0 to 1"),
        (
            "id,label,seed,prob\na,1,2020-01-01 00:00:00,0.5\n",
            r"line 2: seed is '2020-01-01 00:00:00'; it must be a who",
        ),
        ("id,label,logit_0,logit_1,logit_02\na,1,0,1,2\n", r"x\.csv: column 'logit_2' is missing"),
        (f"id,label,prob_0,prob_{'9' * 5000}\na,1,0.5,0.5\n", r"x\.csv: column 'prob_1' is missing"),
        (f"id,label,seed,logit_0,logit_1,logit_{'9' * 5000}\na,1,1,0,1,2\n", r"x\.csv: column 'logit_2' is missing"),
        (",".join(f"prob_{c}" for c in range(40_000)) + "\n", r"x\.csv: there are 40,000 columns, and 32,768 are read"),
    ],
)
def test_what_is_not_quite_a_table_is_named_with_its_line(tmp_path, content, message):
    path = tmp_path / "x.csv"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(DataError, match=message):
        load_predictions(path)
