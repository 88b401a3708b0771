"""JSONL and Parquet files, read into records that know their line; CSV and its like are in `delimited.py`.

Written on the standard library's parsers because the `datasets` reader accepts mixed types, missing
keys, NaN and arrays silently, and its errors do not name the line.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.data.reading.problems import Problems
from ensemble_uq_llm.data.reading.text_lines import decoded, numbered_lines
from ensemble_uq_llm.labels.label_values import ClassCode
from ensemble_uq_llm.utils.text import clipped

ONE_A_LINE: Final = "rewrite the file with `jq -c '.[]' old.json > new.jsonl`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row as the file holds it, and its line (in Parquet: its row), counted from 1."""

    line: int
    values: Mapping[str, Any]


def read_jsonl(path: Path, problems: Problems) -> list[Record]:
    """Read one JSON object a line; broken lines are noted in `problems`, blank ones skipped."""
    records = []
    for line, raw in numbered_lines(path, problems):
        text = decoded(raw, line, problems)
        if text and (text := text.rstrip()):
            value = _parsed(text, line, problems)
            if value is not None:
                records.append(Record(line=line, values=value))
    return records


def read_parquet(path: Path, problems: Problems) -> list[Record]:
    """Read a Parquet file; its lines are its row numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows = [row for batch in file.iter_batches() for row in batch.to_pylist()]
            named = _class_labels(file.schema_arrow.metadata or {})
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        problems.stop(1, f"not a readable Parquet file: {clipped(str(error))}")
    return coded_records(rows, named)


def coded_records(rows: Iterable[Mapping[str, Any]], named: Mapping[str, Sequence[str]]) -> list[Record]:
    """Return rows as records; the numbers in a column of `named` become codes that know the data's own class names."""
    records = []
    for line, row in enumerate(rows, start=1):
        codes = {
            column: ClassCode(row[column], tuple(names))
            for column, names in named.items()
            if isinstance(row.get(column), int) and not isinstance(row[column], bool)
        }
        records.append(Record(line=line, values={**row, **codes} if codes else row))
    return records


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


def _parsed(text: str, line: int, problems: Problems) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        if text.strip() in ("[", "{", "[{"):
            problems.stop(line, f"one object must stand on one line; {ONE_A_LINE}")
        problems.add(line, f"broken JSON at column {error.colno}: {error.msg}: {clipped(text.strip())}")
    except RecursionError:
        problems.add(line, "nested too deeply; a row is one flat object")
    except ValueError as error:  # a key that occurs twice, or a number of more than 4,300 digits
        problems.add(line, str(error).partition(";")[0])
    else:
        if isinstance(value, dict):
            return value
        if isinstance(value, list):
            problems.stop(line, f"a list where an object is expected; {ONE_A_LINE}")
        problems.add(line, f'{clipped(value)} where an object such as {{"question": ...}} is expected')
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the field {_repeated([name for name, _ in pairs])} occurs twice")
    return found


def _repeated(names: list[str]) -> str:
    return clipped(next(name for name, count in Counter(names).items() if count > 1))
