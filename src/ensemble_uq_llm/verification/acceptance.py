"""A folder recorded as it is: a manifest of what lies there now, whatever was recorded before."""

import contextlib
import json
import shutil
from pathlib import Path

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.predictions.parquet import read_origin
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import STAGING, settle
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.lock import owned
from ensemble_uq_llm.storage.manifest import (
    OUTSIDE,
    FileEntry,
    Manifest,
    is_of_another_program,
    read_manifest,
    sound_manifest,
)
from ensemble_uq_llm.utils.files import atomic_path, sha256_of
from ensemble_uq_llm.verification.recorded import own_files


def accept(folder: RunFolder) -> None:
    """Record every file at a run's places as it is; what is gone is forgotten, links stay as recorded.

    What files were made from is kept as it was recorded, and taken from members' records and predictions where it was
    not: accepting a file does not make it fit the others.

    Raises:
        IntegrityError: the manifest is a file of another program.
        OwnedError: another process writes here. StorageError: nobody can.
    """
    root, path = folder.root, folder.manifest
    with owned(root, "verify --accept"), naming_failures(path, "written"):
        if path.exists() and is_of_another_program(path.read_bytes()):
            read_manifest(root)  # which refuses it
        with contextlib.suppress(IntegrityError):  # a change that cannot be completed is given up for what is there
            settle(root)
        before = (sound_manifest(root) or Manifest()).files
        places = {each.relative_to(root).as_posix(): each for each in own_files(folder)}
        places |= {name: root / name for name in before}
        told = _told_by_themselves(folder)
        entries: dict[str, FileEntry] = {}
        for name, place in places.items():
            if place.is_symlink():
                entries |= {name: before[name]} if name in before else {}
            elif place.is_file():
                made_from = before[name].made_from if name in before else told.get(name, {})
                entries[name] = FileEntry(sha256=sha256_of(place), size=place.stat().st_size, made_from=made_from)
        with atomic_path(path) as temporary:
            temporary.write_text(Manifest(files=entries).as_text(), encoding="utf-8")
        if (root / STAGING).is_dir():
            shutil.rmtree(root / STAGING)


def _told_by_themselves(folder: RunFolder) -> dict[str, dict[str, str]]:
    """Return what files were made from, as far as members' records and predictions tell, by the files' paths."""
    told: dict[Path, dict[str, str]] = {}
    for member in folder.members():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no record: nothing is told
            record = json.loads(folder.member_record(member).read_bytes())
            told[folder.member_weights(member)] = {source: str(record[f"{source}_digest"]) for source in OUTSIDE}
    weights = {each.folder_name: folder.member_weights(each).relative_to(folder.root) for each in folder.members()}
    for name in folder.prediction_names():
        if (origin := read_origin(folder.predictions(name), verified=False)) is not None:
            own = {} if origin.foreign else origin.weights
            made_from = {weights[each].as_posix(): own[each] for each in own if each in weights}
            told[folder.predictions(name)] = {"base": origin.base, "data": origin.data, **made_from}
    return {path.relative_to(folder.root).as_posix(): made_from for path, made_from in told.items()}
