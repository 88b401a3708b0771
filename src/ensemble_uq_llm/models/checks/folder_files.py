"""May a file of a stranger's folder be opened: a regular file, of a bearable size, within that folder.

A pipe would be waited for and a device read for ever, and a link could point at any file of this machine. The hub's own
cache is made of links, from a snapshot to its repository's blobs and from there to those that repositories share.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.storage.kinds import kind_of

LARGEST_SMALL_FILE: Final = 256 * 2**20
"""Bytes of a file that is read whole, such as tokenizer.json; the largest known are an eighth of it."""

_WEIGHTS: Final = ".safetensors"
_READ: Final = (".json", ".model", ".txt", ".tiktoken", ".jinja", _WEIGHTS)
_TEMPLATES: Final = "additional_chat_templates"


def check_folder(folder: Path) -> None:
    """Look at every file of a model's folder that transformers may open, before it does.

    Raises:
        ModelError: one that must not be opened.
    """
    try:
        paths = sorted([*folder.iterdir(), *(folder / _TEMPLATES).glob("*")])
    except OSError as error:
        raise ModelError(f"model_name: {folder} cannot be read ({error.strerror or error})") from error
    for path in paths:
        if path.suffix in _READ or path.name.startswith("tokenizer"):
            largest = None if path.suffix == _WEIGHTS else LARGEST_SMALL_FILE
            if reason := obstacle(path, largest=largest, folder=folder):
                raise ModelError(f"model_name: {path} {reason}")


def obstacle(path: Path, *, largest: int | None = None, folder: Path | None = None) -> str | None:
    """Return why the file must not be opened, in words that follow its name; None if it may be.

    Args:
        path: a file of the folder.
        largest: a limit in bytes.
        folder: the folder, if the file does not lie directly in it.
    """
    try:
        facts = path.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except ValueError as error:  # NUL in its name
        return f"is no path ({error})"
    if not stat.S_ISREG(facts.st_mode):
        return f"is {kind_of(facts.st_mode)}, and must be a file"
    if path.is_symlink() and not _is_within(path, folder or path.parent):
        return f"is a link to {path.resolve()}, outside of its folder; copy that file to the place of the link"
    if largest is not None and facts.st_size > largest:
        return f"has {facts.st_size:,} bytes, and no such file needs more than {largest:,}"
    return None


def claimed_sha256(path: Path) -> str | None:
    """Return the SHA-256 that the hub's cache names a large file by, if it is one: that of the blob it links to.

    A blob may itself be a link to one that repositories share, whose name is no SHA-256.
    """
    if not path.is_symlink():
        return None
    blob = path.readlink()
    is_digest = len(blob.name) == 64 and set(blob.name) <= set("0123456789abcdef")
    return blob.name if is_digest and blob.parent.name == "blobs" else None


def _is_within(path: Path, folder: Path) -> bool:
    target = path.resolve()
    return any(target.is_relative_to(each) for each in _roots(folder.resolve()))


def _roots(folder: Path) -> Iterator[Path]:
    yield folder
    if folder.parent.name == "snapshots":
        repository = folder.parent.parent
        yield repository / "blobs"
        yield repository.parent / "blobs"
