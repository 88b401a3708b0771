"""The manifest of a folder: the SHA-256 of every file that is read back, and what each was made from.

`manifest.json` carries a seal, the digest of its own content, so that no edit of it goes unnoticed. It guards against
accidents and careless hands; whoever can write the folder can also seal it anew.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.utils.text import as_word, clipped, first_line

MANIFEST: Final = "manifest.json"
SCHEMA_VERSION: Final = 1
OUTSIDE: Final = ("base", "data")
"""What files are made from that lies elsewhere: the base's files, and examples."""

LARGEST: Final = 1 << 26
"""Bytes of a manifest at most: that of a thousand members and as many sets has a few hundred thousand."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FileEntry:
    """What a file holds, and what it was made from."""

    sha256: str
    size: int
    made_from: dict[str, str] = field(default_factory=dict)
    """The digests of what it was made from: other files of the folder by their paths in it, and `OUTSIDE`."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Pending:
    """A change that was decided on, and may be half done: the new files by path, and what goes."""

    waiting: str
    """The folder, within the folder, in which the new files wait."""
    files: dict[str, FileEntry]
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder holds by the paths in it, and a change that may be half done."""

    files: Mapping[str, FileEntry] = field(default_factory=dict)
    pending: Pending | None = None
    name: str | None = None
    """What the folder is called, where that tells what it holds: content of another name is not in its place there."""

    def accepted(self, path: str) -> set[str]:
        """Return the digests that a file may have: while a change is under way, that before and that after it."""
        entries = [self.files.get(path), self.pending.files.get(path) if self.pending else None]
        return {entry.sha256 for entry in entries if entry is not None}

    @cached_property
    def current(self) -> dict[str, FileEntry]:
        """What the folder holds once a change that may be half done is complete."""
        if self.pending is None:
            return dict(self.files)
        kept = {path: entry for path, entry in self.files.items() if path not in self.pending.removed}
        return kept | self.pending.files

    def outdated(self, path: str) -> list[str]:
        """Return why a file does not go with those that it was made from, as they are now: each is another, or gone."""
        entry, reasons = self.current.get(path), []
        for name, was in (entry.made_from if entry is not None else {}).items():
            if name not in OUTSIDE and name not in self.current:
                reasons.append(f"made from {name}, which is gone")
            elif name not in OUTSIDE and self.current[name].sha256 != was:
                reasons.append(f"made from another {name} than the one there is now")
        return reasons

    def as_text(self) -> str:
        """Return the text of the file."""
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "files": {path: asdict(entry) for path, entry in sorted(self.files.items())},
        }
        if self.pending is not None:
            content["pending"] = asdict(self.pending)
        if self.name is not None:
            content["name"] = self.name
        return json.dumps({**content, "seal": _seal(content)}, indent=1, ensure_ascii=False) + "\n"


_FILES: Final = TypeAdapter(dict[str, FileEntry])
_PENDING: Final = TypeAdapter(Pending | None)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder; None where it has none.

    Raises:
        IntegrityError: it is torn, altered, or of another version.
    """
    content = _content(folder)
    return None if content is None else parse_manifest(content, folder / MANIFEST)


def manifest_over(folder: Path) -> Manifest | None:
    """Return what governs the files of any folder: None also where a file of another program has the manifest's name.

    Raises:
        IntegrityError: it is torn, altered, or of another version.
    """
    try:
        content = _content(folder)
    except StorageError:
        return None  # a folder, say
    return None if content is None or is_of_another_program(content) else parse_manifest(content, folder / MANIFEST)


def _content(folder: Path) -> bytes | None:
    path = folder / MANIFEST
    with naming_failures(path, "read"):
        if path.exists() and not path.is_file():  # such as a pipe, which would be waited for
            raise IntegrityError(f"{path}: not a file, so it cannot be the manifest; move it elsewhere")
        try:
            with path.open("rb") as stream:
                return stream.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None


def sound_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder; None where it has none, or one that is torn, for which no error is raised."""
    try:
        return read_manifest(folder)
    except (IntegrityError, StorageError):
        return None


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """Return the manifest that the content of a file says.

    Raises:
        IntegrityError: it is torn, altered, or of another version; the message names `path`.
    """
    if is_of_another_program(content):
        raise IntegrityError(f"{path}: not a manifest, but a file of another program; move it, or use another folder")
    try:
        return _parsed(content)
    except (ValueError, ValidationError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise IntegrityError(
            f"{path}: not a manifest of this version ({first_line(error)}); restore it, or, if the folder is as you "
            f"want it, record it anew: {accepting(path.parent)}"
        ) from None


@lru_cache(maxsize=4)  # every load asks for it, of a manifest that changes rarely
def _parsed(content: bytes) -> Manifest:
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    text = content.decode("utf-8")
    values = json.loads(text)
    if values["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {values['schema_version']!r}, and this version reads {SCHEMA_VERSION}")
    if values.pop("seal", None) != _seal(values):
        raise ValueError("its seal does not fit: it was altered")
    manifest = Manifest(
        files=_FILES.validate_python(values["files"]),
        pending=_PENDING.validate_python(values.get("pending")),
        name=values.get("name"),
    )
    if manifest.as_text() != text:
        raise ValueError("it is not as this program writes it: it was altered")
    _check_stays_inside(manifest)
    return manifest


def accepting(folder: Path) -> str:
    """Return the command that records a folder as it is."""
    return f"ensemble-uq verify {as_word(folder)} --accept"


@lru_cache(maxsize=4)
def is_of_another_program(content: bytes) -> bool:
    """Tell whether a file of the manifest's name is surely none of ours: whole, and without a word of what ours say."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return not (isinstance(values, dict) and {"schema_version", "files", "seal"} & values.keys())


def _check_stays_inside(manifest: Manifest) -> None:
    """Refuse paths that lead out of the folder: whoever completes a change writes and removes at these places."""
    pending = manifest.pending
    paths = [*manifest.files, *([pending.waiting, *pending.files, *pending.removed] if pending else [])]
    for path in paths:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path or PurePosixPath(path).as_posix() != path:
            raise ValueError(f"{clipped(path)} is no place within the folder")


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
