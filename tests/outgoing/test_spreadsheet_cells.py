import csv

import pytest

from ensemble_uq_llm.outgoing.spreadsheet_cells import csv_cell
from ensemble_uq_llm.utils.files import write_csv

FORMULAS = [
    *("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", " =1", "'=1", "\n=1", "-", "+a"),
    "\N{FULLWIDTH EQUALS SIGN}1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_a_text(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1", "+1", "-0.5", "-1e-05", "-.5", "-inf", "1", "a=b", "a-b", "", "x\ny", "007"])
def test_numbers_and_words_stay(value):
    assert csv_cell(value) == value


@pytest.mark.parametrize("value", [-1, -0.5, None, True, 1e-300])
def test_what_is_no_text_stays(value):
    assert csv_cell(value) is value


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\x00=1", "a\u202eb", "half \udcff"])
def test_what_cannot_be_seen_is_shown(text):
    assert csv_cell(text) == text.encode("unicode_escape").decode()


def test_a_file_has_such_cells_only(tmp_path):
    write_csv(tmp_path / "x.csv", ["id", "=n"], [("=1", -1.5), ("-7", None), ('a,"b"', 0)])
    with (tmp_path / "x.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [["id", "'=n"], ["'=1", "-1.5"], ["-7", ""], ['a,"b"', "0"]]
