"""The three file formats (JSONL, CSV, Parquet), each read into records that know their line.

Written on the standard library's parsers because the `datasets` reader accepts mixed types, missing
keys, NaN and arrays silently, and its errors do not name the line.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.data.reading.problems import Problems
from ensemble_uq_llm.utils.text import clipped, listed

LONGEST_LINE: Final = 16 * 2**20
ONE_A_LINE: Final = "rewrite the file with `jq -c '.[]' old.json > new.jsonl`"
BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row as the file holds it, and its line (in Parquet: its row), counted from 1."""

    line: int
    values: Mapping[str, Any]


def read_jsonl(path: Path, problems: Problems) -> list[Record]:
    """Read one JSON object a line; broken lines are noted in `problems`, blank ones skipped."""
    records = []
    for line, raw in _lines(path, problems):
        text = _decoded(raw, line, problems)
        if text and (text := text.rstrip()):
            value = _parsed(text, line, problems)
            if value is not None:
                records.append(Record(line=line, values=value))
    return records


def read_csv(path: Path, problems: Problems) -> list[Record]:
    """Read a CSV file whose first line names its columns; every value is text."""
    rows = _csv_rows(path, problems)
    header_line, header = next(rows, (1, []))
    _check_header(header_line, header, problems)
    records = []
    for line, row in rows:
        if len(row) == len(header):
            records.append(Record(line=line, values=dict(zip(header, row, strict=True))))
        else:
            quoting = "put quotes around a value that holds a comma"
            problems.add(line, f"{len(row)} values for the {len(header)} columns of the header; {quoting}")
    return records


def read_parquet(path: Path, problems: Problems) -> list[Record]:
    """Read a Parquet file; its lines are its row numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        problems.stop(1, f"not a readable Parquet file: {clipped(str(error))}")
    return [Record(line=line, values=row) for line, row in enumerate(rows, start=1)]


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        line = 0
        while raw := file.readline(LONGEST_LINE + 1):
            line += 1
            if len(raw) > LONGEST_LINE:
                problems.stop(line, f"longer than {LONGEST_LINE:,} bytes; a line holds one row")
            if line == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                problems.stop(line, "the file is UTF-16; save it as UTF-8")
            yield line, raw.removeprefix(BOM) if line == 1 else raw


def _decoded(raw: bytes, line: int, problems: Problems) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte {error.start} of the line (0x{raw[error.start]:02x})"
        problems.add(line, f"{bad} is not UTF-8; save the file as UTF-8")
        return None


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


def _csv_rows(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line on which it begins."""
    reader = csv.reader(_csv_text(path, problems), strict=True)
    begin = 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        problems.stop(begin, f"broken CSV: {error}; is a quote not closed, or not doubled inside quotes?")


def _csv_text(path: Path, problems: Problems) -> Iterator[str]:
    for line, raw in _lines(path, problems):
        text = _decoded(raw, line, problems)
        problems.raise_if_any()  # at once: what follows may stand inside a quote that this line opened
        yield text or ""


def _check_header(line: int, header: list[str], problems: Problems) -> None:
    if len(set(header)) < len(header):
        problems.stop(line, f"the header names the column {_repeated(header)} twice: {listed(header)}")
