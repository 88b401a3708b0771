"""The files of a folder against its manifest: every digest, what is gone, and what nobody recorded."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.member import member_of_folder
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import strangers_waiting
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.guard import STRANGE, gone
from ensemble_uq_llm.storage.manifest import MANIFEST, Manifest, read_manifest
from ensemble_uq_llm.utils.files import sha256_of
from ensemble_uq_llm.utils.text import clipped, first_line
from ensemble_uq_llm.verification.audit import Audit

_LITTER: Final = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers leave in every folder that is looked at; nothing of ours reads it."""
_LINK: Final = "a link is in its place"


def own_files(folder: RunFolder) -> list[Path]:
    """Return what lies at a run's places, whoever has put it there, but for manifest, checkpoints, and trackers."""
    files = [folder.config, folder.run_record, folder.events, folder.decision, folder.report]
    kinds = (folder.predictions, folder.uncertainty, folder.scores, folder.metrics, folder.answers)
    rooms = [kind("any").parent for kind in kinds]
    rooms += [path for path in folder.root.glob("seed_*") if member_of_folder(path.name) is not None]
    inside = [path for room in rooms for path in [room, *room.rglob("*")] if path.is_symlink() or not path.is_dir()]
    there = [path for path in [*files, *inside] if path.is_symlink() or path.exists()]
    return [path for path in there if path.name not in _LITTER]


def check_recorded_files(folder: RunFolder, into: Audit) -> None:
    """Check all that lies in a run's places against its manifest, and the manifest itself."""
    manifest = _manifest_of(folder.root, into)
    if manifest is not None:
        there = own_files(folder)
        if _is_training(folder) and folder.events in there and not manifest.accepted(folder.events.name):
            there.remove(folder.events)
            into.unchecked.append(f"{folder.events.name}: training is under way, and it grows")
        _check(folder.root, manifest, there, into)
    for path in strangers_waiting(folder.root):
        into.noting(path, STRANGE)


def check_checkpoints(folder: RunFolder, into: Audit) -> None:
    """Check every checkpoint against the manifest of its own that it has."""
    holders = sorted({path.parent for path in folder.checkpoints.rglob("*") if not path.is_dir() or path.is_symlink()})
    for each in holders:
        into.checking("checkpoint")
        manifest = _manifest_of(each, into)
        if manifest is not None:
            if manifest.name not in (None, each.name):
                into.noting(each, f"written as {clipped(manifest.name)}, so it is not in its place")
            _check(each, manifest, [path for path in each.iterdir() if path.name != MANIFEST], into)


def _is_training(folder: RunFolder) -> bool:
    try:
        return bool(json.loads(folder.run_record.read_bytes())["state"] == "training")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _manifest_of(folder: Path, into: Audit) -> Manifest | None:
    path = (folder / MANIFEST).relative_to(into.folder).as_posix()
    if (folder / MANIFEST).is_symlink():  # which can be read, but nothing of a run is written through a link
        into.found(path, _LINK)
    try:
        manifest = read_manifest(folder)
    except (IntegrityError, StorageError) as error:
        into.found(path, first_line(error).removeprefix(f"{folder / MANIFEST}: ").partition(";")[0])
        return None
    if manifest is None:
        into.found(path, "there is no such file: it was removed, or an earlier version wrote the folder")
        return None
    if manifest.pending is not None:
        into.unchecked.append(
            f"{path}: a change was interrupted, and the next command that writes completes it; until then files may be "
            "as before or after it"
        )
    return manifest


def _check(folder: Path, manifest: Manifest, there: Iterable[Path], into: Audit) -> None:
    names = {path.relative_to(folder).as_posix(): path for path in there}
    for name in sorted(manifest.files.keys() | manifest.current.keys()):
        path = folder / name
        waits = manifest.pending is not None and (folder / manifest.pending.waiting / name).is_file()
        if waits or (name in manifest.files and name not in manifest.current):
            continue  # on its way in, or out
        into.checking("file")
        into.noting(path, _difference(path, manifest, name))
    for name in sorted(names.keys() - manifest.files.keys() - manifest.current.keys()):
        is_room = names[name].is_symlink() and any(each.startswith(f"{name}/") for each in manifest.current)
        into.noting(names[name], _LINK if is_room else STRANGE)


def _difference(path: Path, manifest: Manifest, name: str) -> str:
    """Return how a file differs from what is recorded of it; an empty text where it does not."""
    if path.is_symlink():
        return _LINK
    if not path.is_file():
        return gone(path)
    try:
        with naming_failures(path, "read"):
            if sha256_of(path) in manifest.accepted(name):
                return ""
            size, was = path.stat().st_size, manifest.current[name].size
    except StorageError as error:
        return first_line(error).removeprefix(f"{path}: ")
    return "altered after it was written" + (f": {size:,} bytes, and {was:,} were written" if size != was else "")
