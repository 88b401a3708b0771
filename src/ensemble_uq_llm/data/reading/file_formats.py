"""JSONL, CSV and its like, and Parquet files, read into records that know their line."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_uq_llm.labels.label_values import ClassCode
from ensemble_uq_llm.utils.input.delimited_rows import delimited_rows, separator_of
from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.input.json_rows import ROW_BYTES, VALUE_BYTES, json_rows
from ensemble_uq_llm.utils.input.problems import Problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row as the file holds it, and its line (in Parquet: its row), counted from 1."""

    line: int
    values: Mapping[str, Any]


def read_jsonl(file: InputFile, problems: Problems) -> Iterator[Record]:
    """Yield one JSON object a line; broken lines are noted in `problems`, blank ones skipped."""
    for line, values in json_rows(file, problems):
        yield Record(line=line, values=values)


def read_delimited(file: InputFile, problems: Problems) -> Iterator[Record]:
    """Yield the rows of a file with commas, or, if its header says so, with semicolons or tabs; every value is text."""
    with delimited_rows(file, problems, separator_of(file, problems)) as (header, rows):
        for line, row in rows:
            yield Record(line=line, values=dict(zip(header, row, strict=True)))


def read_parquet(file: InputFile, problems: Problems) -> Iterator[Record]:
    """Yield the rows of a Parquet file; its lines are its row numbers."""
    from ensemble_uq_llm.utils.input.bounded_parquet import (  # pyarrow, which other files do without
        UnreadableParquetError,
        parquet_schema,
        read_parquet_rows,
    )

    try:
        schema = parquet_schema(file)
        rows = read_parquet_rows(file, row_bytes=ROW_BYTES + VALUE_BYTES * len(schema))
        yield from coded_records(rows, _class_labels(schema.metadata or {}))
    except UnreadableParquetError as error:
        problems.stop(1, f"not a readable Parquet file: {error}")


def coded_records(rows: Iterable[Mapping[str, Any]], named: Mapping[str, Sequence[str]]) -> Iterator[Record]:
    """Yield rows as records; the numbers in a column of `named` become codes that know the data's own class names."""
    for line, row in enumerate(rows, start=1):
        codes = {
            column: ClassCode(row[column], tuple(names))
            for column, names in named.items()
            if isinstance(row.get(column), int) and not isinstance(row[column], bool)
        }
        yield Record(line=line, values={**row, **codes} if codes else row)


def _class_labels(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the columns that a file of the `datasets` library calls a ClassLabel, with the names of their classes."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            column: [str(name) for name in kind["names"]]
            for column, kind in features.items()
            if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # no such note, or one of another library
