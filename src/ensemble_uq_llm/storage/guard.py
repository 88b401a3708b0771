"""The one guard of every load: a file's bytes, after they were found to be those that its manifest tells."""

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.kinds import kind_of
from ensemble_uq_llm.storage.manifest import MANIFEST, Manifest, accepting, manifest_over, read_manifest

_TRIES: Final = 40
_PAUSE: Final = 0.05
"""Seconds between the tries; a writer moves its files within a few of them."""


def read_verified(folder: Path, path: Path) -> bytes:
    """Return the bytes of a file of a folder that has a manifest; beside a writer the old or the new ones.

    Raises:
        IntegrityError: they are not those that were written, the file was removed, or the manifest does not know it.
        FileNotFoundError: there is no such file, and never was.
    """
    name = _name_in(folder, path)
    for manifest in _views(folder):
        accepted, content = manifest.accepted(name), _read(path)
        if content is not None and hashlib.sha256(content).hexdigest() in accepted:
            return content
    if content is None and not accepted and not path.is_symlink():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    if content is None:
        raise IntegrityError(f"{path}: {_gone(path)}; {_remedy(folder)}")
    why = "altered after it was written" if accepted else "not written by this run"
    raise IntegrityError(f"{path}: {why} (its SHA-256 is not that in {folder / MANIFEST}); {_remedy(folder)}")


def check_recorded(folder: Path, paths: Iterable[Path]) -> None:
    """Check that files of a folder are those that its manifest knows, by name alone; without a manifest any may be.

    Raises:
        IntegrityError: one is there that the manifest does not know, or one that it knows is gone.
    """
    paths = list(paths)
    fault = ""
    for manifest in _views(folder):
        faults = [f"{path}: {why}" for path in paths if (why := _fault(folder, path, manifest))]
        if not faults:
            return
        fault = faults[0]
    raise IntegrityError(f"{fault}; {_remedy(folder)}")


def read_guarded(path: Path) -> bytes:
    """Return the bytes of any file: verified where it is one of a run's, as they are anywhere else.

    Raises:
        IntegrityError: it is a run's, and not as it was written. StorageError: it cannot be read.
        FileNotFoundError: there is no such file.
    """
    if (own := read_of_run(path)) is not None:
        return own
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    with naming_failures(path, "read"):
        if not path.is_file():  # opening a pipe would wait for ever
            kind = kind_of(path.stat().st_mode)
            raise StorageError(f"{path}: not a file but {kind}; put the file back, or name another place")
        return path.read_bytes()


def read_of_run(path: Path) -> bytes | None:
    """Return the verified bytes of a file that is one of a run's, None of any other.

    A run's are those in a manifest, and what lies in a folder beside some that are.

    Raises:
        IntegrityError: it is a run's, and not as it was written.
    """
    home = _home_of(path)
    return None if home is None else read_verified(*home)


def _views(folder: Path) -> Iterator[Manifest]:
    """Yield the manifest of a folder, and again as long as somebody is changing the folder."""
    for left in reversed(range(_TRIES)):
        manifest = read_manifest(folder)
        yield manifest or Manifest()
        if manifest == read_manifest(folder) and (manifest is None or manifest.pending is None):
            return
        if left:
            time.sleep(_PAUSE)


def _home_of(path: Path) -> tuple[Path, Path] | None:
    """Return the folder whose manifest speaks of a file, and the file as a path in it; a link counts as its target."""
    for place in dict.fromkeys((path.absolute(), Path(os.path.realpath(path)))):
        for folder in place.parents[:2]:
            manifest = manifest_over(folder)
            if manifest is not None and _speaks_of(manifest, _name_in(folder, place)):
                return folder, place
    return None


def _speaks_of(manifest: Manifest, name: str) -> bool:
    """Tell whether a manifest knows a file, or others of the room that it lies in, so that it should."""
    room = f"{PurePosixPath(name).parent}/"
    return bool(manifest.accepted(name)) or (room != "./" and any(each.startswith(room) for each in manifest.current))


def _name_in(folder: Path, path: Path) -> str:
    return path.absolute().relative_to(folder.absolute()).as_posix()


def _fault(folder: Path, path: Path, manifest: Manifest) -> str:
    if manifest == Manifest():
        return ""
    known = bool(manifest.accepted(_name_in(folder, path)))
    if path.is_file() and not path.is_symlink():
        return "" if known else "not written by this run"
    return _gone(path) if known or path.is_symlink() else ""


def _gone(path: Path) -> str:
    if path.is_symlink():
        return "a link is in the place of the file that was written"
    return "something else is in its place" if path.exists() else "removed after it was written"


def _remedy(folder: Path) -> str:
    return (
        f"restore it or make it again, or, if it is as you want it, record it: {accepting(folder)} (without --accept: "
        "all that differs)"
    )


def _read(path: Path) -> bytes | None:
    """Return what a regular file holds; None where there is none, or a link or a special file in its place."""
    with naming_failures(path, "read"):
        if path.is_symlink() or not path.is_file():
            return None
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
