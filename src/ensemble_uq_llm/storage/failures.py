"""Failures of the disk by name: no space, no permission, broken hardware; the message tells of which file."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensemble_uq_llm.errors import EnsembleUQError, StorageError
from ensemble_uq_llm.utils.text import first_line

_REMEDIES: Final = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "make it accessible",
    errno.EPERM: "make it accessible",
    errno.EROFS: "make the file system writable",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network file system",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "break the circle of links",
}

DISK: Final = frozenset(_REMEDIES)
"""The numbers of errors that are the disk's, and no bug of ours."""


_NUMBER: Final = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust tell the number of an error of the system."""


@contextmanager
def naming_failures(path: Path, doing: str) -> Iterator[None]:
    """Within it a failure of the operating system becomes an error that names `path`: it `cannot be written`, say.

    Raises:
        StorageError: reading or writing failed; the message says why and what to do.
    """
    try:
        yield
    except EnsembleUQError:
        raise
    except OSError as error:
        raise storage_error(path, doing, error) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # which is an OSError by its text only, and needs its library
            raise
        number = _NUMBER.search(str(error))
        told = OSError(int(number[1]), str(error)) if number else OSError(first_line(error))
        raise storage_error(path, doing, told) from error


def storage_error(path: Path, doing: str, error: OSError) -> StorageError:
    """Return the error that names a file, why it cannot be read or written, and what to do."""
    why = os.strerror(error.errno) if error.errno else first_line(error)
    remedy = _REMEDIES.get(error.errno or 0, "make it usable, or name another place")
    return StorageError(f"{path}: cannot be {doing} ({why}); {remedy}, then run the same command again")
