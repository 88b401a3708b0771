"""One owner per folder, and moments in which a process is alone: locks that the system frees when a process dies."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import OwnedError
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.utils.text import clipped

LOCK: Final = ".lock"
"""The file that its owner locks, and in which it tells who it is."""

_OURS: Final[dict[Path, int]] = {}
"""How often this process has taken each folder: stages within stages own it together."""
_GUARD: Final = threading.RLock()
_NO_LOCKS: Final = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}


@contextmanager
def owned(folder: Path, doing: str) -> Iterator[bool]:
    """Be the only process that writes `folder`; yields whether it was not ours before.

    The lock is the system's: it ends with the process, however that ends, so a dead owner is in nobody's way.

    Raises:
        OwnedError: another process writes it; the message says which, where, and since when.
        StorageError: the folder cannot be written.
    """
    key = folder.resolve()
    with _GUARD:
        first = key not in _OURS
        if not first:
            _OURS[key] += 1
    was_there = folder.is_dir()
    descriptor = _take(folder, doing) if first else None
    if first:
        _OURS[key] = 1
    try:
        yield first
    finally:
        with _GUARD:
            _OURS[key] -= 1
            if not _OURS[key]:
                del _OURS[key]
        if descriptor is not None:
            (folder / LOCK).unlink(missing_ok=True)  # while it is still locked, so that it is surely our own
            os.close(descriptor)
            if not was_there and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is within this for the same folder, which is there."""
    with naming_failures(folder, "locked"), _GUARD:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _lock(descriptor, folder, wait=True)
            yield
        finally:
            os.close(descriptor)


def _take(folder: Path, doing: str) -> int:
    path = folder / LOCK
    with naming_failures(path, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                if not _lock(descriptor, path, wait=False):
                    raise OwnedError(_owner_in_words(folder, path))
                if _is_still(path, descriptor):
                    os.truncate(descriptor, 0)
                    os.write(descriptor, _self_description(doing))
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its owner has removed it between our opening and our locking; take the next one


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
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _self_description(doing: str) -> bytes:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"doing": doing, "pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode()


def _owner_in_words(folder: Path, path: Path) -> str:
    try:
        owner = json.loads(path.read_bytes()[:4096])
        who = f"{owner['doing']}, process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is about to write it, or not of ours
        who = "another process"
    return (
        f"{folder}: in use by {clipped(who)}; wait for it or end it, or use another output_dir. The same command works "
        "once it has ended"
    )
