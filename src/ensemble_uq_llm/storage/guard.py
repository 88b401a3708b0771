"""The one guard of every load: a file's bytes, after they were found to be those that its manifest tells."""

import errno
import hashlib
import time
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.manifest import MANIFEST, read_manifest

_TRIES: Final = 40
_PAUSE: Final = 0.05
"""Seconds between the tries; a writer moves its files within a few of them."""


def read_verified(folder: Path, path: Path) -> bytes:
    """Return the bytes of a file of a folder that has a manifest; beside a writer the old or the new ones.

    Raises:
        IntegrityError: they are not those that were written, or the manifest does not know the file.
        FileNotFoundError: there is no such file.
    """
    name = path.absolute().relative_to(folder.absolute()).as_posix()
    for left in reversed(range(_TRIES)):
        manifest = read_manifest(folder)
        accepted = manifest.accepted(name) if manifest is not None else set()
        content = _read(path)
        if content is not None and hashlib.sha256(content).hexdigest() in accepted:
            return content
        if manifest == read_manifest(folder) and (manifest is None or manifest.pending is None):
            break  # nobody is writing
        if left:
            time.sleep(_PAUSE)
    if content is None:
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    why = "altered after it was written" if accepted else "not written by this run"
    raise IntegrityError(
        f"{path}: {why} (its SHA-256 is not that in {folder / MANIFEST}); restore it, or make it again; "
        f"`ensemble-uq verify {folder}` checks everything"
    )


def read_guarded(path: Path) -> bytes:
    """Return the bytes of any file: verified where it is one of a run's, as they are anywhere else.

    Raises:
        IntegrityError: it is a run's, and not as it was written. StorageError: it cannot be read.
        FileNotFoundError: there is no such file.
    """
    folder = _home_of(path)
    if folder is not None:
        return read_verified(folder, path)
    with naming_failures(path, "read"):
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
        return path.read_bytes()


def is_guarded(path: Path) -> bool:
    """Tell whether a file is one of a run's, of those that a manifest knows."""
    return _home_of(path) is not None


def _home_of(path: Path) -> Path | None:
    """Return the folder whose manifest knows a file: the one that it lies in, or the one above that."""
    for folder in path.absolute().parents[:2]:
        try:
            manifest = read_manifest(folder)
        except IntegrityError:
            continue  # of another program; a run's own torn one is found by whoever opens the run
        if manifest is not None and manifest.accepted(path.absolute().relative_to(folder).as_posix()):
            return folder
    return None


def _read(path: Path) -> bytes | None:
    """Return what a regular file holds; None where there is none, or a link or a special file in its place."""
    with naming_failures(path, "read"):
        if path.is_symlink() or not path.is_file():
            return None
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
