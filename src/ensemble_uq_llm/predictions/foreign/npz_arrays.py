"""The arrays of an NPZ file, each no larger than its place in the file says.

An NPY header may announce any shape, and a compressed array may unpack to a thousand times its size; so both are
compared with what the archive says of the array, and that with what may be held, before anything is allocated.
"""

import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError, EnsembleUQError
from ensemble_uq_llm.utils.input.input_file import InputFile
from ensemble_uq_llm.utils.text import clipped

OBJECT_BYTES: Final = 60
"""About what a name or label costs in memory, once it is an object of Python."""

_NUMBER_BYTES: Final = 8
_END_BYTES, _COUNT_AT, _UNKNOWN_COUNT = 22, 10, 0xFFFF
"""The last record of a ZIP file, where it counts the entries, and what it says where they are too many for it."""

_LONGEST_REASON: Final = 120
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_UNREADABLE: Final = (
    ValueError, TypeError, OverflowError, RecursionError, SyntaxError, tokenize.TokenError,  # of headers
    OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,  # of archives
)  # fmt: skip


class NpzArchive:
    """An open NPZ file: the names of its arrays, and each when it is asked for.

    Raises:
        DataError: it is none, or names an array twice.
    """

    def __init__(self, file: InputFile) -> None:
        self._file = file
        with _naming("(table of contents)"):
            if not zipfile.is_zipfile(file.stream):
                raise DataError("this is no whole NPZ file; write it with numpy.savez")
            self._archive = zipfile.ZipFile(file.stream)
            _check_complete(file, self._archive)
        entries = [(info.filename.removesuffix(".npy"), info) for info in self._archive.infolist()]
        self._entries = dict(entries)
        if len(self._entries) < len(entries):
            twice = Counter(name for name, _ in entries).most_common(1)[0][0]
            raise DataError(f"array {clipped(twice)} is there twice; write the file with numpy.savez")
        self.names = list(self._entries)

    def read(self, name: str) -> NDArray[Any]:
        """Return an array; nothing is unpickled.

        Raises:
            DataError: it cannot be read, is not as long as its header says, or needs more memory than is allowed.
        """
        info = self._entries[name]
        with _naming(name), self._archive.open(info) as stream:
            shape, fortran_order, kind = _header(stream)
            count = math.prod(shape)
            size = count * kind.itemsize
            if info.file_size - stream.tell() != size:
                found = f"{info.file_size - stream.tell():,} bytes are stored"
                raise ValueError(f"its header says {clipped(shape)} of {kind}, and {found}")
            self._file.take(size + count * (OBJECT_BYTES if len(shape) < 2 else _NUMBER_BYTES))
            content = stream.read(size + 1)  # to the end, where the sum over all bytes is checked
            return np.frombuffer(content, kind).reshape(shape, order="F" if fortran_order else "C")


def _check_complete(file: InputFile, archive: zipfile.ZipFile) -> None:
    """Refuse a torn table of contents: one flipped byte makes an entry's comment of the next entries."""
    file.stream.seek(-_END_BYTES - len(archive.comment), os.SEEK_END)
    announced = struct.unpack_from("<H", file.stream.read(_END_BYTES), _COUNT_AT)[0]
    if announced not in (len(archive.infolist()), _UNKNOWN_COUNT):
        raise ValueError(f"it announces {announced:,} arrays and names {len(archive.infolist()):,}")


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type, as sane ones: NumPy takes any whole numbers for a shape."""
    read = _HEADERS.get(npy.read_magic(stream))
    if read is None:
        raise ValueError("of another version of the NPY format")
    shape, fortran_order, kind = read(stream)
    if kind.hasobject:
        raise ValueError("objects of Python are never unpickled")
    if any(isinstance(each, bool) or each < 0 for each in shape):
        raise ValueError(f"no shape: {clipped(shape)}")
    return shape, fortran_order, kind


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except EnsembleUQError:
        raise
    except _UNREADABLE as error:
        shown = str(error).splitlines()[0] if str(error) else type(error).__name__
        why = shown if len(shown) <= _LONGEST_REASON else f"{shown[:_LONGEST_REASON]}..."
        raise DataError(
            f"array {clipped(name)} cannot be read ({why}); store plain numbers, and ids and names as text"
        ) from error
