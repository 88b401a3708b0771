"""Files and folders that appear whole or not at all: written beside their place, then renamed into it."""

import csv
import hashlib
import json
import os
import re
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.outgoing.spreadsheet_cells import csv_cell
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.guard import read_guarded
from ensemble_uq_llm.utils.text import clipped, first_line

AnyPath: TypeAlias = str | os.PathLike[str]
"""What Python callers may give where a path is wanted; a run is one too."""


LONGEST_PATH: Final = 4_095
LONGEST_PATH_PART: Final = 255
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://|(?:https?|ftp|s3|gs|hf|file):/", re.IGNORECASE)
"""How URLs begin; those that a path was made of have one slash left."""
_TEMPORARY: Final = re.compile(r"(?s)\.(?P<name>.+)\.(?P<host>[0-9a-f]{6})-(?P<process>\d{1,18})-[0-9a-f]{8}\.tmp")
"""How files are named until they are whole: whose they will be, and the machine and process that writes them."""


def as_path(value: Any, what: str) -> Path:
    """Return the path that a caller gave as `what`; a `~` at its beginning is the home folder.

    Raises:
        ConfigError: it is no path, or one that no file can have.
    """
    if not isinstance(value, str | os.PathLike) or value == "":
        raise ConfigError(f"{what}: a path is needed, found {clipped(value)}")
    if problem := path_problem(os.fsdecode(value)):
        raise ConfigError(f"{what}: {problem}, found {clipped(os.fsdecode(value))}")
    return expanded(Path(value))


def path_problem(text: str) -> str | None:
    """Return why no file can have a path on any of our systems; None where one can."""
    if text == "":
        return "must not be empty"
    if "\0" in text:
        return "must not hold the character NUL"
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return "must be UTF-8; rename it"
    if len(encoded) > LONGEST_PATH:
        return f"must have at most {LONGEST_PATH:,} bytes"
    if max(map(len, encoded.split(os.sep.encode()))) > LONGEST_PATH_PART:
        return f"must not hold a name of more than {LONGEST_PATH_PART} bytes"
    if _URL.match(text):
        return "must be a path on this machine, and no URL; download what is there, and name that"
    if str(expanded(Path(text))).startswith("~"):
        return "must not begin with ~ where there is no such user; write the path in full"
    return None


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
    temporary = path.with_name(f".{path.name[:180]}.{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with naming_failures(path, "written"):
            make_folder(path.parent)
            for each in _temporaries(path.parent):
                if each["name"] == path.name[:180] and each["host"] == _host() and not _is_alive(int(each["process"])):
                    path.with_name(each[0]).unlink(missing_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    finally:
        with suppress(OSError):  # what stopped us is told; a later writer removes what this leaves
            temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, so that their names are on the disk; one that is there is left as it is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    flush(path.parent)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder, but where something is in it, it is gone, or the disk refuses: it is in nobody's way."""
    with suppress(OSError):
        folder.rmdir()


def flush(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path) -> None:
    """Remove what writers that died, here or on another machine, have left in a folder that is ours alone."""
    for each in _temporaries(folder):
        (folder / each[0]).unlink(missing_ok=True)


def _temporaries(folder: Path) -> Iterator[re.Match[str]]:
    return (found for each in folder.iterdir() if (found := _TEMPORARY.fullmatch(each.name)))


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


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


def read_object(path: Path, *, remedy: str, read: Callable[[Path], bytes] = read_guarded) -> dict[str, Any]:
    """Read a JSON object that this package has written; `read` is how its bytes are had.

    Raises:
        IntegrityError: the file is missing, altered, no JSON, or no object; the message ends with `remedy`.
        StorageError: it cannot be read, which says nothing against it.
    """
    try:
        text = read(path)
    except FileNotFoundError:
        raise IntegrityError(f"{path}: there is no such file; {remedy}") from None
    try:
        content = json.loads(text)
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
