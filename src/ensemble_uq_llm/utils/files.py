"""Files and folders that appear whole or not at all: written beside their place, then renamed into it."""

import csv
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.outgoing.spreadsheet_cells import csv_cell
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.guard import read_guarded
from ensemble_uq_llm.utils.text import clipped, first_line

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

    Its mode is what the umask gives any new file, whatever the one who writes it thinks of it. What a process that died
    has left beside `path` goes.

    Raises:
        StorageError: the disk refuses; what was there before is intact.
    """
    temporary = path.with_name(f"{_temporaries(path)}{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with naming_failures(path, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporaries(path: Path) -> str:
    """Return how the names of temporaries of a file begin, of processes of this machine."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
    return f".{path.name[:180]}.{host}-"


def _sweep(path: Path) -> None:
    prefix = _temporaries(path)
    for each in path.parent.iterdir():
        if each.name.startswith(prefix) and each.name.endswith(".tmp"):
            process = each.name.removeprefix(prefix).partition("-")[0]
            if process.isdecimal() and not _is_alive(int(process)):
                each.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


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
        IntegrityError: the file is missing, altered, no JSON, or no object; the message ends with `remedy`.
    """
    try:
        content = json.loads(read_guarded(path))
    except FileNotFoundError:
        raise IntegrityError(f"{path}: there is no such file; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path}: this is no JSON ({first_line(error)}); {remedy}") from error
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
