"""CSV files and their like as tables: commas, semicolons or tabs.

What separates the values is never guessed from them: of a .tsv file it is the tab, and of a .csv file the comma, unless
its header has none outside quotes and has semicolons, or else tabs. Beside semicolons, decimal commas are read, too.
"""

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.table_file import TableFile

_TAB = "\t"
_SEPARATORS = (",", ";", _TAB)
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", re.IGNORECASE)


def read_delimited(path: Path, *, text: Collection[str]) -> TableFile:
    """Read a CSV or TSV file; the columns named in `text` as text, so that 007 is not 7.

    Raises:
        DataError: it is no such file in UTF-8.
    """
    header = _header(path)
    outside_quotes = "".join(header.split('"')[::2])
    found = next((each for each in _SEPARATORS if each in outside_quotes), ",")
    separator = _TAB if path.suffix.lower() == ".tsv" else found
    names = next(csv.reader([header], delimiter=separator), [])
    types = {name: pa.large_string() for name in names if name.strip() in text}
    table = _table(path, separator, types)
    if separator == ";" and any(_has_decimal_commas(table, name) for name in set(table.column_names) - set(types)):
        table = _table(path, separator, types, decimal_point=",")
    table = table.rename_columns([name.strip() for name in table.column_names])
    return TableFile(path=path, table=table, place=lambda row: f"line {_line_of(path, row)}")


def _table(path: Path, separator: str, types: dict[str, Any], *, decimal_point: str = ".") -> Any:
    convert = pa.csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True, decimal_point=decimal_point
    )
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    whole = min(path.stat().st_size + 1, 2**31 - 1)
    try:
        try:
            return pa.csv.read_csv(path, parse_options=parse, convert_options=convert)
        except pa.ArrowInvalid as error:
            if "block size" not in str(error):
                raise  # else a value is longer than a block
            read = pa.csv.ReadOptions(block_size=whole)
            return pa.csv.read_csv(path, parse_options=parse, convert_options=convert, read_options=read)
    except pa.ArrowException as error:
        kind = "TSV" if separator == _TAB else "CSV"
        raise DataError(
            f"{path}: this is not a readable {kind} file in UTF-8 ({error}); write it again, as UTF-8"
        ) from error


def _has_decimal_commas(table: Any, name: str) -> bool:
    column = table.column(name)
    return pa.types.is_string(column.type) and any(
        _DECIMAL_COMMA.fullmatch(value) for value in column.drop_null().slice(0, 1).to_pylist()
    )


def _header(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next((line.rstrip("\r\n") for line in file if line.strip()), "")


def _line_of(path: Path, row: int) -> int:
    """Return the last line of a row, from 1; counted only now, as blank lines and breaks in quotes are no rows."""
    ends = _ends_of_rows(path)
    line = next(ends, 1)  # of the header
    for _ in range(row + 1):
        line = next(ends, line)
    return line


def _ends_of_rows(path: Path) -> Iterator[int]:
    quotes, blank = 0, True
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            quotes, blank = quotes + line.count('"'), blank and not line.strip("\r\n")
            if quotes % 2 == 0:
                if not blank:
                    yield number
                blank = True
