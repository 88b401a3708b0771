"""Cells of a table as numbers, whatever their column holds; what is none is named with its line."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.foreign.table_file import TableFile
from ensemble_uq_llm.utils.text import clipped

_EXACT: Final = 2.0**53
"""Beyond, a number of 64 bits with a point is no longer one whole number."""


def numbers(file: TableFile, name: str, *, needed: str = "a number") -> NDArray[np.float64]:
    """Return a column as numbers, NaN where it is empty.

    Raises:
        DataError: a cell holds something else than what is `needed`.
    """
    column = _trimmed(file.table.column(name))
    try:
        return _cast(column, pa.float64()).fill_null(np.nan).to_numpy()
    except pa.ArrowException as error:
        raise DataError(f"{_first_wrong(file, column, name, pa.float64())}; it must be {needed}") from error


def whole_numbers(file: TableFile, name: str) -> NDArray[np.int64]:
    """Return a column without empty cells as whole numbers, `1.0` being one.

    Raises:
        DataError: a cell holds something else.
    """
    column = _trimmed(file.table.column(name))
    try:
        return _cast(column, pa.int64()).to_numpy()
    except pa.ArrowException:
        given = numbers(file, name, needed="a whole number")
    odd = np.flatnonzero(~((given == np.round(given)) & (np.abs(given) < _EXACT)))
    if odd.size:
        row = int(odd[0])
        raise DataError(f"{file.place(row)}: {name} is {clipped(column[row].as_py())}; it must be a whole number")
    return given.astype(np.int64)


def _trimmed(column: Any) -> Any:
    """Return texts without the spaces around them; anything else as it is."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return pc.utf8_trim_whitespace(column) if is_text else column


def _cast(column: Any, kind: Any) -> Any:
    """Cast to numbers what is written as some; a date or a truth value is none, though it has bits like one."""
    if pa.types.is_temporal(column.type) or pa.types.is_boolean(column.type):
        raise pa.ArrowInvalid(str(column.type))
    return column.cast(kind)


def _first_wrong(file: TableFile, column: Any, name: str, kind: Any) -> str:
    """Return where the first cell stands that is no number, and what it holds; found by halves."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _cast(column.slice(low, middle - low), kind)
        except pa.ArrowException:
            high = middle
        else:
            low = middle
    return f"{file.place(low)}: {name} is {clipped(column[low].as_py())}"
