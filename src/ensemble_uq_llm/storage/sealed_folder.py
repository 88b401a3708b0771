"""Folders that appear whole, with the digests of their files: checkpoints, and parts of a long prediction.

A folder is written beside its place, flushed file by file, its manifest last, and then renamed. One that is there is
never overwritten.
"""

import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.guard import read_verified
from ensemble_uq_llm.storage.lock import check_still_owned
from ensemble_uq_llm.storage.manifest import MANIFEST, FileEntry, Manifest, read_manifest
from ensemble_uq_llm.utils.files import flush, make_folder, sha256_of
from ensemble_uq_llm.utils.text import clipped

UNFINISHED: Final = ".tmp-"
"""How the names of folders begin that are being written, or removed."""
_UNFINISHED: Final = re.compile(re.escape(UNFINISHED) + "[0-9a-f]{32}")


@contextmanager
def new_sealed_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write files into; on success it is `path`, with a manifest of them.

    The folder above is of one writer, so what is unfinished there is of one that died, and goes.

    Raises:
        StorageError: the disk refuses; there is no `path` then.
    """
    temporary = path.with_name(_unfinished())
    check_still_owned(path.parent)
    try:
        with naming_failures(path, "written"):
            if path.parent.is_dir():
                sweep_unfinished(path.parent)
            make_folder(temporary)
            yield temporary
            files = sorted(temporary.iterdir())
            mode = temporary.stat().st_mode & 0o666
            for file in files:
                file.chmod(mode)
                flush(file)
            entries = {each.name: FileEntry(sha256=sha256_of(each), size=each.stat().st_size) for each in files}
            manifest = temporary / MANIFEST
            manifest.write_text(Manifest(files=entries, name=path.name).as_text(), encoding="utf-8")
            flush(manifest)
            flush(temporary)
            temporary.rename(path)
            flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_sealed_folder(path: Path) -> dict[str, bytes]:
    """Return the content of every file of a sealed folder by its name.

    Raises:
        IntegrityError: it has no manifest, or a file is missing, added, or not as it was written, or the folder was
            written under another name.
        StorageError: it cannot be read.
    """
    with naming_failures(path, "read"):
        manifest = read_manifest(path)
        if manifest is None:
            raise IntegrityError(f"{path / MANIFEST}: there is no such file, so the folder is not whole")
        if manifest.name not in (None, path.name):
            raise IntegrityError(f"{path}: written as {clipped(manifest.name)}, so it is not in its place")
        there = {each.name for each in path.iterdir()} - {MANIFEST}
        if odd := sorted(there ^ set(manifest.files)):
            raise IntegrityError(f"{path / odd[0]}: {'missing' if odd[0] in manifest.files else 'not of this folder'}")
        return {name: read_verified(path, path / name) for name in manifest.files}


def remove_sealed_folder(path: Path, names: Collection[str]) -> None:
    """Remove a sealed folder, sound or not, of files of these names, as a whole: a half of it is never seen.

    Raises:
        IntegrityError: there is something else in it, so it is left alone. StorageError: the disk refuses.
    """
    with naming_failures(path, "removed"):
        if odd := sorted(each.name for each in path.iterdir() if each.name not in {MANIFEST, *names}):
            raise IntegrityError(f"{path / odd[0]}: not of this program, so it is left alone; move it elsewhere")
        leaving = path.with_name(_unfinished())
        path.rename(leaving)
        shutil.rmtree(leaving)


def sweep_unfinished(folder: Path) -> None:
    """Remove what writers that died have left in a folder of sealed folders, which must be ours alone."""
    with naming_failures(folder, "removed"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if _UNFINISHED.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)


def _unfinished() -> str:
    return f"{UNFINISHED}{uuid.uuid4().hex}"
