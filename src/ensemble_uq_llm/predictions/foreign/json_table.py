"""JSON lines as a table: one object a row, its keys the columns."""

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

import pyarrow as pa

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.table_file import TableFile, check_width
from ensemble_uq_llm.predictions.foreign_values import Place
from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.input.json_rows import json_rows
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.text import clipped

_EMPTY_CELLS: Final = 2**22
"""So many may be empty in any case: small files whose lines have few keys in common."""

_EMPTY_SHARE: Final = 16
"""Beyond, so many cells may be empty for one that is filled."""


def read_json_table(file: InputFile, *, text: Collection[str]) -> TableFile:
    """Read one JSON object a line; a key that a line lacks is null there.

    Args:
        file: the open file.
        text: the keys whose values are read as text, as a CSV file has them.

    Raises:
        DataError: a line is no JSON object in UTF-8, or holds half a character; or the lines have few keys in common.
    """
    problems = Problems(str(file.path))
    lines, rows = [], []
    for line, row in json_rows(file, problems):
        lines.append(line)
        rows.append(row)
    problems.raise_if_any()
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_names(rows, names)

    def place(row: int) -> str:
        return f"line {lines[row]}"

    columns = [_column([row.get(name) for row in rows], place, as_text=name in text) for name in names]
    return TableFile(path=file.path, table=pa.table(columns, names=names), place=place)


def _check_names(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Refuse names that no table can have, and tables that are nearly empty: these grow with the square of the file."""
    check_width(names)
    for name in names:
        _check_whole(name, "a key")
    filled = sum(map(len, rows))
    if len(rows) * len(names) > _EMPTY_CELLS + _EMPTY_SHARE * filled:
        raise DataError(
            f"{len(rows):,} lines have {len(names):,} different keys, and a line {filled // len(rows):,} of them; "
            "write the same keys in every line"
        )


def _column(values: list[Any], place: Place, *, as_text: bool) -> Any:
    if not as_text and not any(isinstance(value, str) or _holds_object(value) for value in values):
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            pass  # of several types: as text, to be named later
    return pa.array([_text(value, place, row) for row, value in enumerate(values)], pa.large_string())


def _holds_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_holds_object, value)))


def _text(value: Any, place: Place, row: int) -> str | None:
    """Return a value as CSV files have it."""
    if value is None:
        return None
    shown = value if isinstance(value, str) else json.dumps(value)
    _check_whole(shown, place(row))
    return shown


def _check_whole(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: {clipped(text)} holds half a character (a lone surrogate); write it again as whole text"
        ) from None
