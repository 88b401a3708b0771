"""The rows of a data file a shard at a time, as often as they are asked for: no more of it is held than that.

Every row is looked at before the first is used, so that a bad one at the end costs no work.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns, examples_from_records, id_column_of
from ensemble_uq_llm.data.reading.data_files import at_home, reader_of
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.input.input_file import opened
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.text import clipped

ROWS: Final = 1_000
"""Rows of a shard at most."""

BYTES: Final = 64 * 2**20
"""About what a shard holds in memory at most, beside its last row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Rows that stand one after another."""

    start: int
    """How many rows of the file are before them."""
    examples: list[Example]


@dataclass(frozen=True, kw_only=True)
class RowStream:
    """A data file in which every row was found to be good."""

    path: Path
    columns: Columns
    rows: int
    digest: str
    """The SHA-256 of the ids and texts of all rows, in their order."""
    _shard_digests: tuple[bytes, ...]

    def shards(self) -> Iterator[Shard]:
        """Yield the rows, none twice.

        Raises:
            DataError: they are others than when they were looked at.
        """
        known = iter(self._shard_digests)
        for shard in _shards(self.path, self.columns):
            if next(known, None) != _digest_of(shard.examples):
                raise self._changed()
            yield shard
        if next(known, None) is not None:
            raise self._changed()

    def _changed(self) -> DataError:
        return DataError(f"{self.path}: changed while its rows were being read; put it back and go on, or begin anew")


def checked_stream(
    path: str | Path, columns: Columns, *, look: Callable[[list[Example]], object] | None = None
) -> RowStream:
    """Return a data file as a stream, after a look at every row of it; labels are not read.

    Args:
        path: a file of any format that `read_examples` knows.
        columns: where a row holds what an example needs.
        look: sees the examples of every shard, and raises where it cannot use one.

    Raises:
        DataError: a row cannot be used, or two have one id; with up to ten problems, each with its line.
    """
    path, columns = at_home(path), replace(columns, reads_labels=False, require_labels=False)
    present = dict.fromkeys(name for records in _record_shards(path) for each in records for name in each.values)
    columns = replace(columns, id=id_column_of(columns, present))
    digests, rows, ids = [], 0, array("Q")
    for shard in _shards(path, columns):
        if look is not None:
            look(shard.examples)
        digests.append(_digest_of(shard.examples))
        rows += len(shard.examples)
        ids.extend(_id_digest(each.id) for each in shard.examples)
    if not rows:
        raise DataError(f"{path}: holds no rows; it must hold at least one")
    _check_ids_differ(path, columns, ids)
    digest = hashlib.sha256(b"".join(digests)).hexdigest()
    return RowStream(path=path, columns=columns, rows=rows, digest=digest, _shard_digests=tuple(digests))


def _shards(path: Path, columns: Columns) -> Iterator[Shard]:
    start = 0
    for records in _record_shards(path):
        yield Shard(start=start, examples=examples_from_records(records, columns, source=str(path), before=start))
        start += len(records)


def _record_shards(path: Path) -> Iterator[list[Record]]:
    problems, reader = Problems(str(path)), reader_of(path)
    with opened(path, is_streamed=True) as file:
        shard: list[Record] = []
        for record in reader(file, problems):
            shard.append(record)
            if len(shard) == ROWS or file.taken >= BYTES:
                yield shard
                shard = []
                file.let_go()
        if shard:
            yield shard
    problems.raise_if_any()


def _digest_of(examples: list[Example]) -> bytes:
    digest = hashlib.sha256()
    for each in examples:
        for text in (each.id, *(part for field in sorted(each.fields.items()) for part in field), str(each.options)):
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def _id_digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _check_ids_differ(path: Path, columns: Columns, digests: "array[int]") -> None:
    """Refuse two rows of one id; of all ids only eight bytes each are held, and suspects are looked at again."""
    sorted_N = np.sort(np.frombuffer(digests, dtype=np.uint64))
    suspects = set(sorted_N[1:][sorted_N[1:] == sorted_N[:-1]].tolist())
    if not suspects:
        return
    seen: dict[str, int] = {}
    for records in _record_shards(path):
        for record in records:
            name = str(record.values.get(columns.id or ""))
            if _id_digest(name) in suspects:
                if name in seen:
                    raise DataError(
                        f"{path}:{record.line}: the id {clipped(name)} is already that of line {seen[name]}; every row "
                        "needs an id of its own (id_column)"
                    )
                seen[name] = record.line
