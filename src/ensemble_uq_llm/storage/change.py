"""A change of a folder that happens as a whole or not at all, and is in its manifest.

New files are written into a folder beside, flushed, and announced in the manifest: from that moment on the change is
decided, and whoever opens the folder next completes it, should we be killed while the files move to their places.
"""

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.lock import alone, check_still_owned
from ensemble_uq_llm.storage.manifest import MANIFEST, FileEntry, Manifest, Pending, accepting, read_manifest
from ensemble_uq_llm.storage.places import check_is_file_or_nothing, check_is_folder_or_nothing, check_is_ours
from ensemble_uq_llm.utils.files import atomic_path, flush, make_folder, remove_if_empty, sha256_of, sweep_temporaries

STAGING: Final = ".staging"
"""Where new files wait, within the folder: on the same disk, and nothing in it is anybody else's."""

_WAITING: Final = re.compile(r"[0-9a-f]{32}")
"""How the folders of changes are named there."""

LAST: Final = ("member.json", "run.json")
"""Files that say that others are there, and so move to their places after them."""


@dataclass(kw_only=True)
class Change:
    """What is to become of a folder: write the new files under `root`, at the paths that they have in the folder."""

    folder: Path
    root: Path
    made_from: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """What new files are made from, by their paths in the folder; see `FileEntry.made_from`."""
    removed: set[str] = field(default_factory=set)
    adopted: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)

    def adopt(self, path: Path) -> None:
        """Take a file of the folder, which was written line by line at its place, into the manifest as it is."""
        self.adopted.add(path.relative_to(self.folder).as_posix())

    def forget(self, path: Path) -> None:
        """Take a file out of the manifest: it is about to be written line by line at its place."""
        self.forgotten.add(path.relative_to(self.folder).as_posix())

    def remove(self, *paths: Path) -> None:
        """Let files of the folder go, where they are there."""
        self.removed |= {path.relative_to(self.folder).as_posix() for path in paths}

    def binds(self, path: Path, made_from: Mapping[str, str]) -> None:
        """Say what a file is made from; `path` is that in the folder."""
        self.made_from[path.relative_to(self.folder).as_posix()] = made_from


@contextmanager
def change_of(folder: Path) -> Iterator[Change]:
    """Yield a change of `folder`, and carry it out where nothing was raised.

    Raises:
        StorageError: the disk refuses, or a file at one of the places is not of ours. Nothing has changed, or, where
            the disk refused at the very end, the next owner of the folder completes the change.
        IntegrityError: the manifest is torn.
    """
    staging = folder / STAGING
    waiting = staging / uuid.uuid4().hex
    check_still_owned(folder)
    check_is_folder_or_nothing(staging)
    try:
        with naming_failures(folder, "written"):
            _make_waiting(waiting)
            change = Change(folder=folder, root=waiting)
            yield change
            check_still_owned(folder)
            with alone(staging):
                _carry_out(change)
    except StorageError as error:  # what waits is known by the place that it was to have
        if waiting.name not in str(error):
            raise
        raise StorageError(str(error).replace(f"{waiting}/", f"{folder}/")) from error
    finally:
        if not _is_decided(folder, waiting):
            shutil.rmtree(waiting, ignore_errors=True)
        remove_if_empty(staging)


def settle(folder: Path) -> None:
    """Complete a change that a crash left half done, and remove what waits for none; the folder must be ours alone.

    Raises:
        IntegrityError: the change cannot be completed, as new files of it are gone.
        StorageError: the disk refuses, or somebody else's file is where new files wait.
    """
    staging = folder / STAGING
    check_is_folder_or_nothing(staging)
    check_is_file_or_nothing(folder / MANIFEST)
    with naming_failures(folder, "written"):
        manifest = read_manifest(folder)
        if manifest is not None and manifest.pending is not None:
            _complete(folder, manifest)
        if strangers := strangers_waiting(folder):
            raise StorageError(f"{strangers[0]}: not of this program, and in its folder; move it, or use another place")
        for waiting in staging.iterdir() if staging.is_dir() else ():
            shutil.rmtree(waiting)
        remove_if_empty(staging)
        sweep_temporaries(folder)


def strangers_waiting(folder: Path) -> list[Path]:
    """Return what lies where new files of a folder wait, and is of nobody who changes folders here."""
    staging = folder / STAGING
    there = sorted(staging.iterdir()) if staging.is_dir() else []
    return [path for path in there if not _WAITING.fullmatch(path.name)]


def _make_waiting(waiting: Path) -> None:
    while not waiting.is_dir():
        make_folder(waiting.parent)
        with suppress(FileNotFoundError):  # another process that writes the folder has just removed what it had emptied
            waiting.mkdir()
            flush(waiting.parent)


def _is_decided(folder: Path, waiting: Path) -> bool:
    """Tell whether new files are announced, and not all at their places yet; also where that cannot be told."""
    try:
        manifest = read_manifest(folder)
    except (StorageError, IntegrityError):
        return True
    return manifest is not None and manifest.pending is not None and (folder / manifest.pending.waiting) == waiting


def _carry_out(change: Change) -> None:
    """Flush, announce, move, and note: the moment of the decision is that of the announcement."""
    folder = change.folder
    before = read_manifest(change.folder) or Manifest()
    if before.pending is not None:
        before = _complete(folder, before)
    folders, written = _contents(change.root)
    new = {path.relative_to(change.root).as_posix(): path for path in written}
    removed = sorted(change.removed - set(new))
    adopted = {name: folder / name for name in sorted(change.adopted) if (folder / name).is_file()}
    if not new and not removed and not adopted and not change.forgotten:
        return
    check_is_ours(folder, [*new, *(path for path in removed if (folder / path).exists())])
    mode = change.root.stat().st_mode & 0o666  # as the umask gives a new file; libraries make their own 0600
    for path in written:
        path.chmod(mode)
    for path in (*written, *adopted.values(), *folders):
        flush(path)
    pending = Pending(
        waiting=change.root.relative_to(folder).as_posix(),
        files={
            name: FileEntry(
                sha256=sha256_of(path), size=path.stat().st_size, made_from=dict(change.made_from.get(name, {}))
            )
            for name, path in sorted((new | adopted).items())
        },
        removed=removed,
    )
    files = {name: entry for name, entry in before.files.items() if name not in change.forgotten}
    announced = replace(before, files=files, pending=pending)
    _write(folder, announced)
    _complete(folder, announced)


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders at and below a folder, and the files in them; what cannot be looked into raises OSError."""
    folders = [folder]
    files: list[Path] = []
    for each in folders:
        for path in each.iterdir():
            (folders if path.is_dir() and not path.is_symlink() else files).append(path)
    return folders, files


def _complete(folder: Path, manifest: Manifest) -> Manifest:
    """Move what still waits to its place, remove what goes, and note that in the manifest, which is returned."""
    pending = manifest.pending
    assert pending is not None
    for path in sorted(pending.files, key=lambda name: (PurePosixPath(name).name in LAST, name)):
        _move(folder, pending.waiting, path, wanted=pending.files[path].sha256)
    for path in pending.removed:
        (folder / path).unlink(missing_ok=True)
    for each in {(folder / path).parent for path in [*pending.files, *pending.removed]}:
        if each.is_dir():
            flush(each)
    kept = {path: entry for path, entry in manifest.files.items() if path not in pending.removed}
    done = Manifest(files={**kept, **pending.files})
    _write(folder, done)
    return done


def _move(folder: Path, waiting: str, path: str, *, wanted: str) -> None:
    new, place = folder / waiting / path, folder / path
    if new.is_file():
        make_folder(place.parent)
        new.replace(place)
    elif not place.is_file() or sha256_of(place) != wanted:
        raise IntegrityError(
            f"{place}: a change of it was interrupted, and its new content is gone from {new}; restore the folder, or, "
            f"to go on with what is there: {accepting(folder)}"
        )


def _write(folder: Path, manifest: Manifest) -> None:
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(manifest.as_text(), encoding="utf-8")
