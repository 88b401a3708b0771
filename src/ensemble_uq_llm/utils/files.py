"""Files and folders that appear whole or not at all: written beside their place, then renamed into it."""

import csv
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.outgoing.cells import csv_cell
from ensemble_uq_llm.utils.text import clipped

AnyPath: TypeAlias = str | os.PathLike[str]
"""What Python callers may give where a path is wanted; a run is one too."""


def as_path(value: Any, what: str) -> Path:
    """Return the path that a caller gave as `what`; a `~` at its beginning is the home folder.

    Raises:
        ConfigError: it is no path, or an empty one.
    """
    if not isinstance(value, str | os.PathLike) or value == "":
        raise ConfigError(f"{what}: a path is needed, found {clipped(value)}")
    return expanded(Path(value))


def expanded(path: Path) -> Path:
    """Return a path with the home folder in place of a `~` at its beginning; where there is none, as it is."""
    try:
        return path.expanduser()
    except RuntimeError:  # no user of that name, or no home
        return path


def as_named_paths(value: Any, what: str) -> dict[str, Path]:
    """Return the paths that a caller gave by their names as `what`; none where it is None.

    Raises:
        ConfigError: it is no mapping, or a value in it is no path.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what}: files by their names are needed, {{name: path}}, found {clipped(value)}")
    return {name: as_path(path, f"{what}[{name!r}]") for name, path in value.items()}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    Its mode is what the umask gives any new file, whatever the one who writes it thinks of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path` as a whole, with modes by the umask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        mode = temporary.stat().st_mode & 0o666  # as the umask gives a new file; safetensors makes its own 0600
        for file in temporary.iterdir():
            file.chmod(mode)
            _flush(file)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinity, which JSON does not have, raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file is not JSON, or holds something else than an object.
    """
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds {type(value).__name__}, not a JSON object")
    return value


def read_object(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a JSON object that this package has written.

    Raises:
        IntegrityError: the file is missing, no JSON, or no object; the message ends with `remedy`, what to do about it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IntegrityError(f"{path}: there is no such file; {remedy}") from None
    except ValueError as error:
        raise IntegrityError(f"{path}: this is no JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path}: this is no JSON object; {remedy}")
    return content


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows as CSV; None becomes an empty cell, and no cell a formula (`csv_cell`)."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows(map(csv_cell, row) for row in (header, *rows))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
