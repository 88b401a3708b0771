"""The one guard of every load: a file's bytes, after they were found to be those that its manifest tells."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.kinds import kind_of
from ensemble_uq_llm.storage.manifest import MANIFEST, Manifest, accepting, manifest_over, read_manifest

_TRIES: Final = 40
_PAUSE: Final = 0.05
"""Seconds between the tries; a writer moves its files within a few of them."""
STRANGE: Final = "not written by this run"


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
        raise IntegrityError(f"{path}: {gone(path)}; {_remedy(folder)}")
    if not accepted:
        raise IntegrityError(f"{path}: {STRANGE}; {_remedy(folder, STRANGE)}")
    raise IntegrityError(
        f"{path}: altered after it was written (its SHA-256 is not that in {folder / MANIFEST}); {_remedy(folder)}"
    )


def check_recorded(folder: Path, paths: Iterable[Path]) -> None:
    """Check that files of a folder are those that its manifest knows, by name alone; without a manifest any may be.

    Raises:
        IntegrityError: one is there that the manifest does not know, or one that it knows is gone.
    """
    paths = list(paths)
    for manifest in _views(folder):
        faults = [(path, why) for path in paths if (why := _fault(folder, path, manifest))]
        if not faults:
            return
    path, why = faults[0]
    raise IntegrityError(f"{path}: {why}; {_remedy(folder, why)}")


def check_sources(folder: Path, path: Path) -> None:
    """Check that the files of a folder that one of them was made from, where they are there, are those that it knew.

    A file that was put back together with the manifest of its time does not pass beside others of later.

    Raises:
        IntegrityError: one of them does not; the message names it.
    """
    _check_linked(folder, path, _sources)


def check_company(path: Path) -> None:
    """Check, of a file that is a run's, both what it was made from and what was made from it, as `check_sources` does.

    Raises:
        IntegrityError: one of them is not as it was written; the message names it.
    """
    if (home := _home_of(path)) is not None:
        _check_linked(*home, lambda manifest, name: _sources(manifest, name) | _made_from(manifest, name))


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


def _check_linked(folder: Path, path: Path, linked: Callable[[Manifest, str], set[str]]) -> None:
    manifest = read_manifest(folder) or Manifest()
    for name in sorted(linked(manifest, _name_in(folder, path))):
        place = folder / name
        if place.exists():  # what is gone cannot be another
            with suppress(FileNotFoundError):  # it goes right now
                read_verified(folder, place)


def _sources(manifest: Manifest, name: str) -> set[str]:
    entry = manifest.current.get(name)
    return set() if entry is None else entry.made_from.keys() & manifest.current.keys()


def _made_from(manifest: Manifest, name: str) -> set[str]:
    return {other for other, entry in manifest.current.items() if name in entry.made_from}


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
        return "" if known else STRANGE
    return gone(path) if known or path.is_symlink() else ""


def gone(path: Path) -> str:
    """Say what is in the place of a file that was written and is no file there any more."""
    if path.is_symlink():
        return "a link is in the place of the file that was written"
    return "something else is in its place" if path.exists() else "removed after it was written"


def _remedy(folder: Path, why: str = "") -> str:
    mend = "move it elsewhere" if why == STRANGE else "restore it or make it again"
    return f"{mend}, or, if it is as you want it, record it: {accepting(folder)} (without --accept: all that differs)"


def _read(path: Path) -> bytes | None:
    """Return what a regular file holds; None where there is none, or a link or a special file in its place."""
    with naming_failures(path, "read"):
        if path.is_symlink() or not path.is_file():
            return None
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
