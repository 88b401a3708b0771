"""The one door for files that others bring: regular ones only, and never more of them than fits.

A device, a pipe or a socket has no end, or waits for ever; a small file may unpack to any size. So what is read is
counted in bytes as memory will hold it, before it is allocated.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from ensemble_uq_llm.errors import ConfigError, DataError, EnsembleUQError
from ensemble_uq_llm.storage.guard import read_of_run
from ensemble_uq_llm.storage.kinds import kind_of
from ensemble_uq_llm.utils.text import clipped

MOST_GB: Final = 8.0
"""What of one file is held in memory at most, in units of 10^9 bytes."""

VARIABLE: Final = "ENSEMBLE_UQ_MAX_READ_GB"
"""The environment's variable that says another number: how much fits is a fact of the machine, and of no run."""

_GB: Final = 10**9


@dataclass(slots=True)
class InputFile:
    """An open file, and how much of it memory holds already."""

    path: Path
    stream: BinaryIO
    most: int
    """So many bytes may be taken."""
    error: type[EnsembleUQError] = DataError
    is_streamed: bool = False
    """Whether it is held a part at a time: only parts are counted then, not the whole."""
    taken: int = 0

    def take(self, size: int) -> None:
        """Count bytes that are about to be held; raises `error` where they are too many."""
        self.taken += size
        if self.taken > self.most:
            raise self.error(
                f"{self.path}: needs {self.taken / _GB:.3g} GB of memory at least, and {self.most / _GB:.3g} GB are "
                f"allowed for one file; give less, or set the environment's {VARIABLE} to a larger number"
            )

    def let_go(self) -> None:
        """Say that what was taken is held no more."""
        self.taken = 0


@contextmanager
def opened(
    path: Path,
    *,
    error: type[EnsembleUQError] = DataError,
    absent: str = "correct the path",
    is_streamed: bool = False,
) -> Iterator[InputFile]:
    """Yield a file that somebody brings, open for reading in binary; whatever reading it meets is named.

    Of a run's own file these are the very bytes that were found to be as they were written.

    Args:
        path: the file, or a link to it.
        error: what is raised.
        absent: what to do where no file is.
        is_streamed: whether it is held a part at a time, so that it may be longer than what may be held.

    Raises:
        EnsembleUQError: `error`, if it is no regular file, cannot be read, or needs more memory than is allowed.
        ConfigError: the environment says no number of gigabytes.
        IntegrityError: it is a run's, and not as it was written.
    """
    most = most_bytes()
    try:
        refuse_irregular(path, _mode(path, error, absent), error)
        with open(path, "rb", opener=_at_once) as stream:
            status = os.fstat(stream.fileno())
            refuse_irregular(path, status.st_mode, error)  # it may have been replaced since
            file = InputFile(path, stream, most, error, is_streamed)
            if not is_streamed:
                file.take(status.st_size)
                file.let_go()
            if (own := read_of_run(path)) is not None:
                file.stream = BytesIO(own)
            yield file
    except EnsembleUQError:
        raise
    except MemoryError as caught:
        raise error(f"{path}: there is not enough memory to read it; give less, or free some") from caught
    except OSError as caught:
        raise error(f"{path}: cannot be read: {caught.strerror or caught}") from caught


def _mode(path: Path, error: type[EnsembleUQError], absent: str) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as caught:
        raise error(f"{path}: there is no such file; {absent}") from caught
    except ValueError as caught:  # a zero byte, or half a character, in the path itself
        raise error(f"{clipped(str(path))}: no file can have this name ({caught}); {absent}") from caught


def refuse_irregular(path: Path, mode: int, error: type[EnsembleUQError]) -> None:
    """Raise `error` where a file's mode is not that of a regular one."""
    if not stat.S_ISREG(mode):
        raise error(
            f"{path}: not a regular file but {kind_of(mode)}; name a file (write what a pipe gives into one first)"
        )


def most_bytes() -> int:
    """Return how many bytes of one file memory may hold.

    Raises:
        ConfigError: the environment says no number of gigabytes.
    """
    given = os.environ.get(VARIABLE)
    try:
        gigabytes = MOST_GB if given is None else float(given)
        if gigabytes > 0:
            return int(gigabytes * _GB)
    except (ValueError, OverflowError):  # no number, or an infinite one
        pass
    raise ConfigError(f"{VARIABLE}: {given!r} in the environment; give a number of gigabytes, such as {2 * MOST_GB:g}")


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end, should a pipe lie here by now."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
