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
