import io
import re

import pytest
from rich.console import Console

from ensemble_uq_llm.report.fitting_table import FittingTable

NUMBERS = ["0.123 to 0.456", "+12.3 pt", "1,234,567", "98.7%", "0.0420"]
NAMES = ["Average precision", "ECE", "Expected calibration error of class 12"]


def shown(width):
    table = FittingTable("A name of several words", "Interval of 95%", "Difference", "n", "Share", "AURC")
    for name in NAMES:
        table.add_row(name, *NUMBERS)
    table.caption = "a note below the table"
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_every_number_is_whole_and_no_line_is_too_long(width):
    lines = shown(width).splitlines()
    assert max(map(len, lines)) <= width
    for number in NUMBERS:
        assert sum(number in line for line in lines) == len(NAMES)
    assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(lines)
    words = {word for text in (*NAMES, "A name of several words", "a note below the table") for word in text.split()}
    assert words <= {word for line in lines for word in line.split()}


def test_columns_without_room_go_below_with_the_names_again():
    assert shown(200).count("ECE") == 1
    assert shown(40).count("ECE") > 1
    assert len(re.findall("a note", shown(40))) == 1


def test_its_texts_are_header_and_rows():
    table = FittingTable("Set", "AUROC\nentropy")
    table.add_row("far", "0.9")
    assert table.texts == [("Set", "AUROC entropy"), ("far", "0.9")]
