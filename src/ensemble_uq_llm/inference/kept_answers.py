"""Answers that are given already, of questions that are answered a shard at a time: each is written exactly once.

A part is a folder that appears whole, named by its first row; whoever goes on begins after the last one.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from ensemble_uq_llm.errors import DataError, IntegrityError, StorageError
from ensemble_uq_llm.storage.sealed_folder import (
    new_sealed_folder,
    read_sealed_folder,
    remove_sealed_folder,
    sweep_unfinished,
)
from ensemble_uq_llm.utils.files import remove_if_empty
from ensemble_uq_llm.utils.text import as_word, counted, enumerated, first_line

Counts: TypeAlias = Mapping[str, int]
"""What is counted of the rows of a part, by name."""

_LINES: Final = "answers.csv"
_VALUES: Final = "part.json"
_FILES: Final = (_LINES, _VALUES)


@dataclass(kw_only=True)
class KeptAnswers:
    """The answers in `folder`, all made from what `made` tells."""

    folder: Path
    made: Mapping[str, Any]
    rows: int = 0
    """How many questions are answered, from the first one on."""
    counts: dict[str, int] = field(default_factory=dict)
    """The sums over all parts."""

    def go_on(self) -> None:
        """Take in what an interrupted command has left; a part that is not sound is passed over, with all after it.

        Raises:
            DataError: it was made from other data, by other members, or decided otherwise; the message says what to do.
            StorageError: the disk refuses.
        """
        if self.folder.is_dir():
            sweep_unfinished(self.folder)
        for path in sorted(self.folder.glob("rows_*")):
            try:
                values = _read(path)[1]
            except IntegrityError as error:
                warnings.warn(f"{path}: this part of the answers is passed over: {first_line(error)}", stacklevel=2)
                return
            self._check_made(values)
            if values["start"] != self.rows:
                return
            self._count(values["rows"], values["counts"])

    def add(self, lines: str, rows: int, counts: Counts) -> None:
        """Keep the answers to the next questions, as the lines of a CSV file.

        Raises:
            StorageError: the disk refuses; what is kept before stays.
        """
        path = self.folder / f"rows_{self.rows:012d}"
        if path.exists():  # one that was passed over
            remove_sealed_folder(path, _FILES)
        values = {"made": self.made, "start": self.rows, "rows": rows, "counts": counts}
        with new_sealed_folder(path) as temporary:
            (temporary / _LINES).write_text(lines, encoding="utf-8")
            (temporary / _VALUES).write_text(json.dumps(values), encoding="utf-8")
        self._count(rows, counts)

    def parts(self) -> Iterator[bytes]:
        """Yield the lines of all answers, a part at a time.

        Raises:
            IntegrityError: a part is not as it was written.
        """
        at = 0
        while at < self.rows:
            lines, values = _read(self.folder / f"rows_{at:012d}")
            yield lines
            at += values["rows"]

    def clear(self) -> None:
        """Remove what is kept, as it is needed no more."""
        if self.folder.is_dir():
            sweep_unfinished(self.folder)
        for path in self.folder.glob("rows_*"):
            remove_sealed_folder(path, _FILES)
        for each in (self.folder, self.folder.parent, self.folder.parent.parent):
            remove_if_empty(each)

    def _count(self, rows: int, counts: Counts) -> None:
        self.rows += rows
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def _check_made(self, values: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(self.made))
        there = values["made"]
        if other := [name for name in {**wanted, **there} if wanted.get(name) != there.get(name)]:
            raise DataError(
                f"{self.folder}: holds answers of an interrupted command, with other {enumerated(other)} than now: run "
                f"that command again as it was to go on, or give this one another --name, or begin anew: rm -r "
                f"{as_word(self.folder)}"
            )

    def __repr__(self) -> str:
        return f"KeptAnswers({counted(self.rows, 'row')} in {self.folder})"


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the lines and the values of a part; raises IntegrityError where it is not sound."""
    try:
        files = read_sealed_folder(path)
        values = json.loads(files[_VALUES])
        return files[_LINES], {key: values[key] for key in ("made", "start", "rows", "counts")}
    except (KeyError, ValueError, TypeError) as error:
        raise IntegrityError(f"{path}: no part of answers of this version ({first_line(error)})") from None
    except StorageError as error:
        raise IntegrityError(str(error)) from None
