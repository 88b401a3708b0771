"""JSON lines as a table: one object a row, its keys the columns."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.table_file import TableFile
from ensemble_uq_llm.utils.text import clipped


def read_json_lines(path: Path, *, text: Collection[str]) -> TableFile:
    """Read one JSON object a line; a key that a line lacks is null there.

    Args:
        path: the file.
        text: the keys whose values are read as text, as a CSV file has them.

    Raises:
        DataError: a line is no JSON object in UTF-8, or a value fits no column.
    """
    rows, lines = [], []
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                rows.append(_object(path, number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw))
                lines.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _column([row.get(name) for row in rows], as_text=name in text) for name in names}
    return TableFile(path=path, table=pa.table(columns), place=lambda row: f"line {lines[row]}")


def _object(path: Path, number: int, raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: line {number} is no JSON ({error}); write one object a line") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: line {number} is {clipped(value)}; write one JSON object a line")
    return value


def _column(values: list[Any], *, as_text: bool) -> Any:
    if as_text or any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else _text(value) for value in values], pa.large_string())
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):  # of several types: as text, to be named later
        return pa.array([None if value is None else _text(value) for value in values], pa.large_string())


def _text(value: Any) -> str:
    """Return a value as CSV files have it."""
    shown = value if isinstance(value, str) else json.dumps(value)
    try:
        shown.encode()
    except UnicodeEncodeError:
        raise DataError(f"{shown!a} holds half a character (a lone surrogate); write it again as whole text") from None
    return shown
