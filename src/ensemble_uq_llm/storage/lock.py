"""One owner per folder, and moments in which a process is alone: locks that the system frees when a process dies."""

import errno
import fcntl
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import OwnedError, StorageError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.places import check_can_be_made, check_is_file_or_nothing
from ensemble_uq_llm.utils.files import make_folder, remove_if_empty

LOCK: Final = ".lock"
"""The file that its owner locks, and in which it tells who it is."""


@dataclass(slots=True, kw_only=True)
class _Ownership:
    """A folder that a thread of this process owns, as deep as it has taken it: stages within stages own it together."""

    folder: Path
    thread: int
    descriptor: int
    is_made: bool
    """Whether the folder was made for this, and goes where nothing is written into it."""
    depth: int = 1


_OURS: Final[dict[Path, _Ownership]] = {}
_GUARD: Final = threading.RLock()
_NO_LOCKS: Final = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}
_OPENING: Final = b'{"doing"'
"""How every lock begins."""
_LARGEST: Final = 4096
"""Bytes of an owner's description at most."""
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_TRIES: Final = 1000
"""How often others may take the folder or its lock away while we take it."""
_LONGEST: Final = 200
"""Letters of it that a message shows."""


@contextmanager
def owned(folder: Path, doing: str) -> Iterator[bool]:
    """Be the only thread of the only process that writes `folder`; yields whether it was not ours before.

    The lock is the system's: it ends with the process, however that ends, so a dead owner is in nobody's way.

    Raises:
        OwnedError: another process or thread writes it; the message says which, where, and since when.
        StorageError: the folder cannot be written, or somebody else's file is where the lock goes.
    """
    check_can_be_made(folder)  # what cannot is told before it is resolved, which circles of links cannot be
    with naming_failures(folder, "written"):
        key = folder.resolve()
    with _GUARD:
        own = _OURS.get(key)
        if own is not None and own.thread != threading.get_ident():
            raise OwnedError(_owner_in_words(folder, folder / LOCK))
        is_new = own is None
        if own is None:
            own = _OURS[key] = _begin(key, folder, doing)
        else:
            own.depth += 1
    try:
        yield is_new
    finally:
        with _GUARD:
            own.depth -= 1
            if not own.depth and _OURS.get(key) is own:  # which a fork of the owner is not
                del _OURS[key]
                _release(own)


def check_still_owned(path: Path) -> None:
    """Refuse to write into a folder of ours that was moved, removed, or whose lock was: it may be another's by now.

    Raises:
        StorageError: the message says so; a folder that we never owned is not looked at.
    """
    place = path.resolve()
    for own in [*_OURS.values()]:
        if own.folder in (place, *place.parents) and not _is_still(own.folder / LOCK, own.descriptor):
            raise StorageError(
                f"{own.folder}: moved or removed, or its {LOCK} was, while this process was writing there, so nothing "
                "more is written; put it back, then run the same command again"
            )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is within this for the same folder, which is there."""
    with _GUARD, ExitStack() as stack:
        with naming_failures(folder, "locked"):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, folder, wait=True)
        yield


def _begin(key: Path, folder: Path, doing: str) -> _Ownership:
    is_made = not folder.is_dir()
    with ExitStack() as undoing:
        if is_made:
            undoing.callback(remove_if_empty, key)
        descriptor = _take(folder, doing)
        undoing.pop_all()
    return _Ownership(folder=key, thread=threading.get_ident(), descriptor=descriptor, is_made=is_made)


def _take(folder: Path, doing: str) -> int:
    path = folder / LOCK
    with naming_failures(path, "written"):
        for _ in range(_MOST_TRIES):
            make_folder(folder)
            check_is_file_or_nothing(path)
            try:
                descriptor = os.open(path, _FLAGS, 0o666)
            except FileNotFoundError:
                continue  # another owner has just removed the folder, which was empty
            with ExitStack() as undoing:
                undoing.callback(os.close, descriptor)
                if not _lock(descriptor, path, wait=False):
                    raise OwnedError(_owner_in_words(folder, path))
                if not _is_still(path, descriptor):
                    continue  # its owner has removed it between our opening and our locking; take the next one
                _check_is_lock(path, os.pread(descriptor, _LARGEST, 0))
                undoing.callback(path.unlink)  # while it is locked, so that it is surely our own
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, _self_description(doing), 0)
                undoing.pop_all()
                return descriptor
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))  # such as in /proc, which takes no files


def _release(own: _Ownership) -> None:
    """Free a folder, and remove it where we made it for nothing; what cannot be removed is in nobody's way."""
    with suppress(OSError):
        if _is_still(own.folder / LOCK, own.descriptor):
            (own.folder / LOCK).unlink()
    if own.is_made:
        remove_if_empty(own.folder)
    with suppress(OSError):
        os.close(own.descriptor)


def _let_go_in_child() -> None:
    """A fork of an owner is none: the lock is its parent's, and remains held when the child ends."""
    for own in _OURS.values():
        os.close(own.descriptor)
    _OURS.clear()
    _GUARD.release()


os.register_at_fork(before=_GUARD.acquire, after_in_parent=_GUARD.release, after_in_child=_let_go_in_child)


def _lock(descriptor: int, path: Path, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(f"{path}: this file system has no locks; see to it that nothing else writes there", stacklevel=4)
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False


def _check_is_lock(path: Path, content: bytes) -> None:
    if not (content.startswith(_OPENING) or _OPENING.startswith(content)):  # of a full disk a part of it may be left
        raise StorageError(f"{path}: a file that this program did not write, and it is not overwritten; move it")


def _self_description(doing: str) -> bytes:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"doing": doing, "pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode()


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LARGEST)


def _owner_in_words(folder: Path, path: Path) -> str:
    try:
        owner = json.loads(_first_bytes(path))
        who = f"{owner['doing']}, process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # it is about to write it, or not of ours
        who = ""
    return (
        f"{folder}: in use by {who if 0 < len(who) < _LONGEST and who.isprintable() else 'another process'}; wait for "
        "it or end it, or use another output_dir. The same command works once it has ended"
    )
