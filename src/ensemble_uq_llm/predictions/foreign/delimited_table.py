"""CSV files and their like as tables of texts: commas, semicolons or tabs; beside semicolons, decimal commas, too."""

import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ensemble_uq_llm.predictions.foreign.table_file import TableFile, check_width
from ensemble_uq_llm.utils.input.delimited_rows import delimited_rows, separator_of
from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.input.problems import Problems

_CHUNK: Final = 2**14
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(e[-+]?\d+)?\s*", re.IGNORECASE)


def read_delimited_table(file: InputFile, *, text: Collection[str]) -> TableFile:
    """Read a CSV or TSV file; every value is text, null where it is empty, for whoever knows what it must be.

    Args:
        file: the open file.
        text: the columns that hold no numbers, whatever they look like.

    Raises:
        DataError: it is no such file in UTF-8, a row has too many values or too few, or a column is there twice.
    """
    problems = Problems(str(file.path))
    separator = separator_of(file, problems)
    lines = array("q")
    with delimited_rows(file, problems, separator) as (header, rows):
        names = [name.strip() for name in header]
        check_width(names)
        chunks = list(_chunks(rows, lines))
    problems.raise_if_any()
    columns = [pa.chunked_array([chunk[c] for chunk in chunks], pa.large_string()) for c in range(len(names))]
    if separator == ";":
        pairs = zip(names, columns, strict=True)
        columns = [column if name in text else _with_decimal_points(column) for name, column in pairs]
    return TableFile(path=file.path, table=pa.table(columns, names=names), place=lambda row: f"line {lines[row]}")


def _chunks(rows: Iterator[tuple[int, list[str]]], lines: "array[int]") -> Iterator[Sequence[Any]]:
    """Yield the columns of some rows at a time, for texts are long as objects of Python; note the rows' lines."""
    while chunk := list(islice(rows, _CHUNK)):
        lines.extend(line for line, _ in chunk)
        yield [
            pa.array([value or None for value in column], pa.large_string())
            for column in zip(*(row for _, row in chunk), strict=True)
        ]


def _with_decimal_points(column: Any) -> Any:
    first = column.drop_null().slice(0, 1).to_pylist()
    has_commas = any(_DECIMAL_COMMA.fullmatch(value) for value in first)
    return pc.replace_substring(column, ",", ".") if has_commas else column
