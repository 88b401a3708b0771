"""What is at a place before anything is written there: nothing of anybody else's is overwritten or written through."""

import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.manifest import FileEntry, Manifest, read_manifest

_ELSEWHERE: Final = "move it, or use another output_dir"
_KINDS: Final = {stat.S_IFLNK: "a link", stat.S_IFREG: "a file", stat.S_IFDIR: "a folder"}


def check_can_be_made(path: Path) -> Path:
    """Return the folder in which `path` would be made, or `path` itself where it is one already.

    Raises:
        StorageError: something else is on the way, or a name is too long; the message says which.
    """
    with naming_failures(path, "used"):
        existing = next(each for each in (path.absolute(), *path.absolute().parents) if _is_there(each))
        if not existing.exists():
            raise StorageError(f"{existing}: a link that leads nowhere; mend it, or name another place")
        if not existing.is_dir():
            raise StorageError(f"{existing}: {_kind(existing)}, where a folder is to be; name another place")
        for name in path.absolute().relative_to(existing).parts:
            (existing / name).exists()  # a name that is too long is one wherever it stands
    return existing


def check_can_be_written(path: Path) -> None:
    """Refuse a folder, there or to be made, in which nothing can be written.

    Raises:
        StorageError: the message says why.
    """
    existing = check_can_be_made(path)
    with naming_failures(existing, "written"), tempfile.TemporaryFile(dir=existing) as probe:
        probe.write(b"probe")


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
        if _is_there(place) and (place.is_symlink() or not place.is_file() or path not in known):
            raise StorageError(
                f"{place}: {_kind(place)} that this run did not write, and it is not overwritten; {_ELSEWHERE}"
            )


def check_is_folder_or_nothing(path: Path) -> None:
    """Raise StorageError where something is at a path that is no folder; a link to one is none."""
    if _is_there(path) and (path.is_symlink() or not path.is_dir()):
        raise StorageError(f"{path}: {_kind(path)}, where a folder is to be written; {_ELSEWHERE}")


def check_is_file_or_nothing(path: Path) -> None:
    """Raise StorageError where something is at a path that is no file; a link to one is none."""
    if _is_there(path) and (path.is_symlink() or not path.is_file()):
        raise StorageError(f"{path}: {_kind(path)}, where a file is to be written; {_ELSEWHERE}")


def _is_there(path: Path) -> bool:
    with naming_failures(path, "used"):
        return path.is_symlink() or path.exists()


def _kind(path: Path) -> str:
    with naming_failures(path, "used"):
        return _KINDS.get(stat.S_IFMT(path.lstat().st_mode), "a special file")
