"""Parquet files as tables that are no larger than what may be held: a few kilobytes can announce 10^10 rows.

What the file says of itself is checked before anything is unpacked. Texts are unpacked last and counted before, since
a dictionary page of one long text stands for as many copies as there are rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ensemble_uq_llm.errors import EnsembleUQError
from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.text import clipped

BATCH: Final = 2**16
"""Rows that are unpacked at a time."""

BATCH_OF_LISTS: Final = 2**10
"""The same where a row may have any number of values. How many is in a part of the file's metadata that is not asked:
where it is torn, the library ends the process."""

_NUMBER_BYTES: Final = 8
"""What a value counts for at least: everything that is read becomes numbers of 64 bits, or longer texts."""


class UnreadableParquetError(ValueError):
    """The file is no Parquet file, or torn; the message says what the library says of it."""


def read_parquet_table(file: InputFile) -> Any:
    """Read a whole Parquet file as a pyarrow table; texts are large ones.

    Raises:
        UnreadableParquetError: it is none, or torn.
        EnsembleUQError: it unpacks to more than may be held; of the file's kind.
    """
    kinds = _schema(file)
    with _named():
        batches = [
            pa.RecordBatch.from_arrays(
                [_unpacked(column, kind.type) for column, kind in zip(batch.columns, kinds, strict=True)],
                names=kinds.names,
            )
            for batch in _batches(file, row_bytes=_NUMBER_BYTES * len(kinds))
        ]
        table = pa.Table.from_batches(batches) if batches else kinds.empty_table()
        return table.replace_schema_metadata(kinds.metadata)


def read_parquet_rows(file: InputFile, *, row_bytes: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file as objects, in order.

    Args:
        file: the open file.
        row_bytes: what an object costs beside its texts.

    Raises:
        UnreadableParquetError: it is none, or torn, or holds dates that Python does not have.
        EnsembleUQError: it unpacks to more than may be held; of the file's kind.
    """
    for batch in _batches(file, row_bytes=row_bytes):
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            with _named(f"the column {clipped(name)} of {clipped(str(column.type))} cannot be read: "):
                columns[name] = column.to_pylist()
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def parquet_schema(file: InputFile) -> Any:
    """Return the pyarrow schema of a Parquet file; raises UnreadableParquetError where it is none."""
    return _schema(file)


@contextmanager
def _named(what: str = "") -> Iterator[None]:
    """Call whatever the library or Python cannot do with a file, or with `what` of it, by one name."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UnreadableParquetError(
            f"{what}a column's name, or a text, is not UTF-8: {clipped(error.object)}"
        ) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, LookupError) as error:
        if isinstance(error, EnsembleUQError | MemoryError):
            raise
        raise UnreadableParquetError(f"{what}{clipped(str(error))}") from error


def _schema(file: InputFile) -> Any:
    with _named():
        schema = pq.ParquetFile(file.stream).schema_arrow
        schema.names  # noqa: B018  raises where they are not UTF-8
        return schema


def _batches(file: InputFile, *, row_bytes: int) -> Iterator[Any]:
    """Yield the batches, texts still as dictionaries, each counted before it is read, and its texts before they are."""
    with _named():
        announced = pq.read_metadata(file.stream)
        columns = [announced.schema.column(c) for c in range(announced.num_columns)]
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        if not file.is_streamed:
            file.take(max(0, announced.num_rows) * row_bytes)
        parquet = pq.ParquetFile(file.stream, read_dictionary=texts, page_checksum_verification=True)
        size = BATCH if all(column.max_repetition_level == 0 for column in columns) else BATCH_OF_LISTS
        for batch in parquet.iter_batches(batch_size=BATCH_OF_LISTS if file.is_streamed else size):
            file.take(sum(map(_more_bytes, batch.columns)) + (len(batch) * row_bytes if file.is_streamed else 0))
            yield batch


def _more_bytes(array: Any) -> int:
    """Return what an array takes beyond one number a row: texts one after the other, and what lies in lists."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary) if _is_text(kind.value_type) else pa.array([], pa.int32())
        return pc.sum(pc.take(lengths.cast(pa.int64()), array.indices)).as_py() or 0 if len(lengths) else 0
    if pa.types.is_struct(kind):
        return sum(_more_bytes(array.field(each)) for each in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _more_bytes(array.keys) + _more_bytes(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _NUMBER_BYTES * len(array.values) + _more_bytes(array.values)
    return 0


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind))


def _unpacked(column: Any, kind: Any) -> Any:
    """Return a column of texts as such, unless the file itself calls it a dictionary."""
    if not pa.types.is_dictionary(column.type) or pa.types.is_dictionary(kind):
        return column
    return column.cast(pa.large_string() if pa.types.is_string(column.type.value_type) else pa.large_binary())
