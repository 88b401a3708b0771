"""What is at a place before anything is written there: nothing of anybody else's is overwritten or written through."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.kinds import kind_of
from ensemble_uq_llm.storage.manifest import FileEntry, Manifest, read_manifest

_ELSEWHERE: Final = "move it, or use another output_dir"
_NOTHING_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_LINK: Final = "a link"
_FILE: Final = "a file"
_FOLDER: Final = "a folder"
_KINDS: Final = {stat.S_IFLNK: _LINK, stat.S_IFREG: _FILE, stat.S_IFDIR: _FOLDER}


def check_is_somewhere() -> None:
    """Raise StorageError where the current folder is gone: no relative path leads anywhere from there."""
    try:
        Path.cwd()
    except OSError as error:
        raise StorageError(
            f"the current folder cannot be used ({os.strerror(error.errno or 0)}): was it removed? Change into another "
            "one with cd, then run the same command again"
        ) from error


def check_can_be_made(path: Path) -> Path:
    """Return the folder in which `path` would be made, or `path` itself where it is one already.

    Raises:
        StorageError: something else is on the way, or a name is too long; the message says which.
    """
    with naming_failures(path, "used"):
        places = (path.absolute(), *path.absolute().parents)
        existing, kind = next((each, kind) for each in places if (kind := _kind_at(each)))
        if kind == _LINK and not existing.exists():
            raise StorageError(f"{existing}: a link that leads nowhere; mend it, or name another place")
        if kind != _FOLDER and not existing.is_dir():
            raise StorageError(f"{existing}: {kind}, where a folder is to be; name another place")
        for name in path.absolute().relative_to(existing).parts:
            (existing / name).exists()  # a name that is too long is one wherever it stands
    return existing


def check_can_be_written(path: Path) -> None:
    """Refuse a folder, there or to be made, in which nothing can be written.

    Raises:
        StorageError: the message says why.
    """
    existing = check_can_be_made(path)
    with naming_failures(existing, "written"):
        try:
            with tempfile.TemporaryFile(dir=existing) as probe:
                probe.write(b"probe")
        except FileNotFoundError:
            if _kind_at(existing):
                raise
            check_can_be_written(path)  # another process has just taken its empty folder away


def check_is_ours(folder: Path, paths: Iterable[str]) -> None:
    """Refuse to write where others have: links, folders, pipes, and files that the manifest does not know.

    Raises:
        StorageError: something at one of the places is not ours; the message names it.
    """
    known: dict[str, FileEntry] = dict((read_manifest(folder) or Manifest()).files)
    for path in paths:
        for parent in [folder / each for each in PurePosixPath(path).parents if each.parts]:
            check_is_folder_or_nothing(parent)
        place = folder / path
        kind = _kind_at(place)
        if kind and (kind != _FILE or path not in known):
            raise StorageError(f"{place}: {kind} that this run did not write, and it is not overwritten; {_ELSEWHERE}")


def check_is_folder_or_nothing(path: Path) -> None:
    """Raise StorageError where something is at a path that is no folder; a link to one is none."""
    if (kind := _kind_at(path)) not in (None, _FOLDER):
        raise StorageError(f"{path}: {kind}, where a folder is to be written; {_ELSEWHERE}")


def check_is_file_or_nothing(path: Path) -> None:
    """Raise StorageError where something is at a path that is no file; a link to one is none."""
    if (kind := _kind_at(path)) not in (None, _FILE):
        raise StorageError(f"{path}: {kind}, where a file is to be written; {_ELSEWHERE}")


def _kind_at(path: Path) -> str | None:
    """What is at a place, links not followed, or None; in one look, as other processes come and go."""
    with naming_failures(path, "used"):
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                raise
            return None
    return _KINDS.get(stat.S_IFMT(mode)) or kind_of(mode)
