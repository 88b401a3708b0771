"""CSV files and their like, strictly: a header names the columns, and every row has a value for each.

What separates the values is never guessed from them: of a .tsv file it is the tab, and of a .csv file the comma, unless
its header has none outside quotes and has semicolons, or else tabs.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.input.json_rows import ROW_BYTES, VALUE_BYTES
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.input.text_lines import LONGEST_LINE, decoded, numbered_lines
from ensemble_uq_llm.utils.text import clipped, listed

TAB: Final = "\t"
NAMES: Final = {",": "comma", ";": "semicolon", TAB: "tab"}


def separator_of(file: InputFile, problems: Problems) -> str:
    """Return what separates the names of the header, which may be wrong where no name is ever found."""
    if file.path.suffix.lower() == ".tsv":
        return TAB
    header = next((text for text in _text(file, problems) if text.strip()), "")
    outside_quotes = "".join(header.split('"')[::2])
    return next((each for each in NAMES if each in outside_quotes), ",")


@contextmanager
def delimited_rows(
    file: InputFile, problems: Problems, separator: str
) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Yield the header, and the rows that are as long, each with the line on which it begins.

    Rows of another length are noted in `problems`; a header that names a column twice, or a quote that is not closed,
    ends the reading.
    """
    before = csv.field_size_limit(LONGEST_LINE)  # Python's own is 131,072 characters, and a setting of all
    try:
        rows = _rows(file, problems, separator)
        header_line, header = next(rows, (1, []))
        _check_header(header_line, header, problems)
        yield header, _whole(rows, header, separator, problems)
    finally:
        csv.field_size_limit(before)


def _whole(
    rows: Iterator[tuple[int, list[str]]], header: list[str], separator: str, problems: Problems
) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) == len(header):
            yield line, row
        else:
            quoting = f"put quotes around a value that holds a {NAMES[separator]}"
            read = f"the header is {listed(header, most=3)}"
            problems.add(line, f"{len(row)} values for the {len(header)} columns of the header; {quoting} ({read})")


def _rows(file: InputFile, problems: Problems, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line on which it begins."""
    reader = csv.reader(_text(file, problems), strict=True, delimiter=separator)
    begin = 1
    try:
        for row in reader:
            if row:
                _check_merged(row, begin, separator, problems)
                file.take(ROW_BYTES + VALUE_BYTES * len(row) + sum(map(len, row)))
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        if "new-line character" in str(error):  # the line ends of old Macs
            problems.stop(
                begin, "a carriage return stands outside quotes; save the file with the line ends \\n or \\r\\n"
            )
        quote = "is a quote not closed, or not doubled inside quotes?"
        problems.stop(begin, f"broken {'TSV' if separator == TAB else 'CSV'}: {error}; {quote}")


def _check_merged(row: list[str], line: int, separator: str, problems: Problems) -> None:
    """Refuse a value that swallowed the next line: TSV is often written with quotes that quote nothing."""
    if separator == TAB and any(TAB in value and "\n" in value for value in row):
        doubled = 'write a quote that is text as """", all of it in quotes'
        problems.stop(line, f"a value in quotes goes over several lines with tabs in them; {doubled}")


def _text(file: InputFile, problems: Problems) -> Iterator[str]:
    for line, raw in numbered_lines(file, problems):
        text = decoded(raw, line, problems)
        if text is None:
            problems.raise_if_any()  # at once: what follows may stand inside a quote that this line opened
        yield text or ""


def _check_header(line: int, header: list[str], problems: Problems) -> None:
    repeated = [name for name, count in Counter(name.strip() for name in header).items() if count > 1]
    if repeated:
        problems.stop(line, f"the header names the column {clipped(repeated[0])} twice: {listed(header)}")
