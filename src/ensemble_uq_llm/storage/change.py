"""A change of a folder that happens as a whole or not at all, and is in its manifest.

New files are written into a folder beside, flushed, and announced in the manifest: from that moment on the change is
decided, and whoever opens the folder next completes it, should we be killed while the files move to their places.
"""

import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.lock import alone
from ensemble_uq_llm.storage.manifest import MANIFEST, FileEntry, Manifest, Pending, read_manifest
from ensemble_uq_llm.utils.files import atomic_path, flush, sha256_of

STAGING: Final = ".staging"
"""Where new files wait, within the folder: on the same disk, and nothing in it is anybody else's."""

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
    waiting = folder / STAGING / uuid.uuid4().hex
    try:
        with naming_failures(folder, "written"):
            waiting.mkdir(parents=True)
            change = Change(folder=folder, root=waiting)
            yield change
            with alone(folder / STAGING):
                _carry_out(change)
    finally:
        if not _is_decided(folder, waiting):
            shutil.rmtree(waiting, ignore_errors=True)
        _remove_if_empty(folder / STAGING)


def settle(folder: Path) -> None:
    """Complete a change that a crash left half done, and remove what waits for none; the folder must be ours alone.

    Raises:
        IntegrityError: the change cannot be completed, as new files of it are gone.
    """
    staging = folder / STAGING
    if not staging.is_dir():
        return
    with naming_failures(folder, "written"):
        with alone(staging):
            manifest = read_manifest(folder)
            if manifest is not None and manifest.pending is not None:
                _complete(folder, manifest)
        shutil.rmtree(staging)


def check_is_ours(folder: Path, paths: Iterable[str]) -> None:
    """Refuse to write where others have: links, folders, pipes, and files that the manifest does not know.

    Raises:
        StorageError: something at one of the places is not ours; the message names it.
    """
    known: Mapping[str, FileEntry] = (read_manifest(folder) or Manifest()).files
    for path in paths:
        place = folder / path
        for parent in [folder / each for each in PurePosixPath(path).parents if each.parts]:
            if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
                raise StorageError(
                    f"{parent}: {_kind(parent)}, where a folder is to be written; move it, or use another output_dir"
                )
        if place.is_symlink() or (place.exists() and (not place.is_file() or path not in known)):
            raise StorageError(
                f"{place}: {_kind(place)} that this run did not write, and it is not overwritten; move it, or use "
                "another output_dir"
            )


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "a link"
    return "a file" if path.is_file() else "a folder" if path.is_dir() else "a special file"


def _is_decided(folder: Path, waiting: Path) -> bool:
    """Tell whether new files are announced, and not all at their places yet; also where that cannot be told."""
    try:
        manifest = read_manifest(folder)
    except (StorageError, IntegrityError):
        return True
    return manifest is not None and manifest.pending is not None and (folder / manifest.pending.waiting) == waiting


def _carry_out(change: Change) -> None:
    """Flush, announce, move, and note: the moment of the decision is that of the announcement."""
    folder, before = change.folder, read_manifest(change.folder) or Manifest()
    if before.pending is not None:
        before = _complete(folder, before)
    new = {path.relative_to(change.root).as_posix(): path for path in change.root.rglob("*") if not path.is_dir()}
    removed = sorted(change.removed - set(new))
    adopted = {name: folder / name for name in sorted(change.adopted) if (folder / name).is_file()}
    if not new and not removed and not adopted and not change.forgotten:
        return
    check_is_ours(folder, [*new, *(path for path in removed if (folder / path).exists())])
    mode = change.root.stat().st_mode & 0o666  # as the umask gives a new file; libraries make their own 0600
    for path in new.values():
        path.chmod(mode)
    for path in (new | adopted).values():
        flush(path)
    for each in {path.parent for path in new.values()}:
        flush(each)
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
        place.parent.mkdir(parents=True, exist_ok=True)
        new.replace(place)
    elif not place.is_file() or sha256_of(place) != wanted:
        raise IntegrityError(
            f"{place}: a change of it was interrupted, and its new content is gone from {new}; restore the folder, or, "
            f"to go on with what is there: ensemble-uq verify {folder} --accept"
        )


def _write(folder: Path, manifest: Manifest) -> None:
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_text(manifest.as_text(), encoding="utf-8")


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        try:
            folder.rmdir()
        except OSError:
            return  # another has begun to write
