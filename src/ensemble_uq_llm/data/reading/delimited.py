"""CSV files and their like: a header names the columns, and every value is text.

What separates the values is never guessed from them: of a .tsv file it is the tab, and of a .csv file the comma, unless
its header has none outside quotes and has semicolons, or else tabs.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.data.reading.problems import Problems
from ensemble_uq_llm.data.reading.text_lines import decoded, numbered_lines
from ensemble_uq_llm.utils.text import clipped, listed

TAB: Final = "\t"
NAMES: Final = {",": "comma", ";": "semicolon", TAB: "tab"}
LONGEST_VALUE: Final = 2**31 - 1
"""Of a C long on every system; the lines themselves are bounded."""


def read_csv(path: Path, problems: Problems) -> list[Record]:
    """Read a file with commas, or, if its header says so, with semicolons or tabs."""
    return _read(path, problems, separator=_separator(path, problems))


def read_tsv(path: Path, problems: Problems) -> list[Record]:
    """Read a file with tabs. Quotes are as in CSV."""
    return _read(path, problems, separator=TAB)


def _separator(path: Path, problems: Problems) -> str:
    """Return what separates the names of the header, which may be wrong where no name is ever found."""
    header = next((text for text in _text(path, problems) if text.strip()), "")
    outside_quotes = "".join(header.split('"')[::2])
    return next((each for each in NAMES if each in outside_quotes), ",")


def _read(path: Path, problems: Problems, *, separator: str) -> list[Record]:
    with _long_values():
        rows = _rows(path, problems, separator)
        header_line, header = next(rows, (1, []))
        _check_header(header_line, header, problems)
        records = []
        for line, row in rows:
            if len(row) != len(header):
                quoting = f"put quotes around a value that holds a {NAMES[separator]}"
                problems.add(line, f"{len(row)} values for the {len(header)} columns of the header; {quoting}")
            else:
                records.append(Record(line=line, values=dict(zip(header, row, strict=True))))
    return records


@contextmanager
def _long_values() -> Iterator[None]:
    """While open, a value may be as long as it likes; Python's own limit of 131,072 characters is a setting of all."""
    before = csv.field_size_limit(LONGEST_VALUE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows(path: Path, problems: Problems, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line on which it begins."""
    reader = csv.reader(_text(path, problems), strict=True, delimiter=separator)
    begin = 1
    try:
        for row in reader:
            if row:
                _check_merged(row, begin, separator, problems)
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        quote = "is a quote not closed, or not doubled inside quotes?"
        problems.stop(begin, f"broken {'TSV' if separator == TAB else 'CSV'}: {error}; {quote}")


def _check_merged(row: list[str], line: int, separator: str, problems: Problems) -> None:
    """Refuse a value that swallowed the next line: TSV is often written with quotes that quote nothing."""
    if separator == TAB and any(TAB in value and "\n" in value for value in row):
        doubled = 'write a quote that is text as """", all of it in quotes'
        problems.stop(line, f"a value in quotes goes over several lines with tabs in them; {doubled}")


def _text(path: Path, problems: Problems) -> Iterator[str]:
    for line, raw in numbered_lines(path, problems):
        text = decoded(raw, line, problems)
        problems.raise_if_any()  # at once: what follows may stand inside a quote that this line opened
        yield text or ""


def _check_header(line: int, header: list[str], problems: Problems) -> None:
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        problems.stop(line, f"the header names the column {clipped(repeated[0])} twice: {listed(header)}")
