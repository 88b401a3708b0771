"""A GGUF file's header: every key and the place of every tensor, read strictly and within bounds, before any loader is.

A count in a header costs nothing to write, so none is believed before it is compared with the file's size.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.folder_files import obstacle
from ensemble_uq_llm.utils.text import clipped

SUFFIX: Final = ".gguf"
MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MOST_KEYS: Final = 10_000
MOST_TENSORS: Final = 100_000
MOST_ELEMENTS: Final = 2_000_000
"""Of all lists together; the largest vocabularies have a quarter of it, merges included."""
LARGEST_METADATA: Final = 64 * 2**20
LARGEST_ALIGNMENT: Final = 2**16
MOST_AXES: Final = 4

STORED: Final = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
}
"""How numbers are stored, by their code: the name, the numbers of a block, its bytes."""

NOT_READ: Final = {
    9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 34: "TQ1_0", 35: "TQ2_0",
    39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
"""Kinds that no file of an architecture that is read is stored in, or that no library dequantises."""

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_LIST: Final = 9


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """What the header says of a tensor; the shape is as torch has it, its place the byte of the file."""

    name: str
    shape: tuple[int, ...]
    kind: str
    place: int
    size: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """All that a GGUF file says before its weights."""

    path: Path
    values: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]


def is_gguf(base: Path) -> bool:
    """Tell whether a base is a GGUF file, and no folder."""
    return base.suffix.lower() == SUFFIX and not base.is_dir()


def read_gguf_header(path: Path) -> GgufHeader:
    """Read a file's header.

    Raises:
        ModelError: it is no GGUF file, or none that is whole; the message says where.
    """
    if reason := obstacle(path, folder=path.resolve().parent):
        raise ModelError(f"model_name: {path} {reason}")
    try:
        with path.open("rb") as stream:
            return _header(path, _Bytes(stream, path.stat().st_size))
    except OSError as error:
        raise ModelError(f"model_name: {path} cannot be read ({error.strerror or error})") from error
    except _OtherKind as error:
        raise ModelError(
            f"model_name: {path} cannot be read as GGUF: {error}; take another file of the model"
        ) from error
    except ValueError as error:
        raise ModelError(f"model_name: {path} cannot be read as GGUF: {error}; get it again") from error


class _OtherKind(ValueError):
    """The file may well be whole, and is of a kind that is not read."""


class _Bytes:
    """The file from its beginning; each piece is known to be there before it is asked for."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.size = size
        self.place = 0
        self._stream = stream
        self._elements = 0

    def take(self, count: int) -> bytes:
        if self.place + count > min(self.size, LARGEST_METADATA):
            if self.place + count > self.size:
                raise ValueError(f"its header needs {count:,} bytes from byte {self.place:,}, and it has {self.size:,}")
            raise ValueError(f"its header is longer than {LARGEST_METADATA:,} bytes")
        self.place += count
        found = self._stream.read(count)
        if len(found) < count:
            raise ValueError(f"it ends at byte {self.place - count + len(found):,}, within its header")
        return found

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        start = self.place
        body = self.take(self.number("Q"))
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise ValueError(f"the text at byte {start:,} of its header is not UTF-8") from None

    def value(self) -> Any:
        start, kind = self.place, self.number("I")
        if kind == _STRING:
            return self.text()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _LIST:
            return self._list()
        raise ValueError(f"byte {start:,} of its header names a type of value ({kind}) that there is not")

    def _list(self) -> list[Any]:
        start, kind, count = self.place, self.number("I"), self.number("Q")
        self._elements += count
        if self._elements > MOST_ELEMENTS:
            raise ValueError(f"the list at byte {start:,} has {count:,} entries; {MOST_ELEMENTS:,} in all are read")
        if kind == _STRING:
            return [self.text() for _ in range(count)]
        if kind not in _SCALARS:
            raise ValueError(f"the list at byte {start:,} of its header is of a type ({kind}) that is not read")
        code = f"<{count}{_SCALARS[kind]}"
        return list(struct.unpack(code, self.take(struct.calcsize(code))))


def _header(path: Path, found: _Bytes) -> GgufHeader:
    if (magic := found.take(4)) != MAGIC:
        raise ValueError(f"it begins with {clipped(magic.decode('latin-1'))} and not with {MAGIC.decode()}")
    version = found.number("I")
    if version not in VERSIONS:
        raise _OtherKind(f"it is of version {version:,}, and versions 2 and 3 are read, in little-endian order")
    tensors, keys = found.number("Q"), found.number("Q")
    for count, most, name in ((tensors, MOST_TENSORS, "tensors"), (keys, MOST_KEYS, "keys")):
        if count > most:
            raise ValueError(f"it says that it has {count:,} {name}, over {most:,}")
    values: dict[str, Any] = {}
    for _ in range(keys):
        key = found.text()
        if key in values:
            raise ValueError(f"the key {clipped(key)} stands in it twice")
        values[key] = found.value()
    return GgufHeader(path=path, values=values, tensors=_tensors(found, tensors, values.get("general.alignment", 32)))


def _tensors(found: _Bytes, count: int, alignment: object) -> dict[str, GgufTensor]:
    """Read the table of tensors, and hold it against the file's size."""
    if not isinstance(alignment, int) or not 1 <= alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
        raise ValueError(f"general.alignment is {clipped(alignment)}, and must be a power of two")
    found_at = [_tensor(found, alignment) for _ in range(count)]
    start = -(-found.place // alignment) * alignment
    end = 0
    tensors: dict[str, GgufTensor] = {}
    for each in found_at:
        if each.name in tensors:
            raise ValueError(f"the tensor {clipped(each.name)} stands in it twice")
        tensors[each.name] = replace(each, place=start + each.place)
    for each in sorted(found_at, key=lambda each: each.place):
        if each.place < end:
            raise ValueError(f"the tensor {clipped(each.name)} lies upon another")
        end = each.place + each.size
        if start + end > found.size:
            missing = start + end - found.size
            raise ValueError(f"it ends before the tensor {clipped(each.name)} does ({missing:,} bytes are missing)")
    return tensors


def _tensor(found: _Bytes, alignment: int) -> GgufTensor:
    """Read a row of the table; the place is that after the header."""
    name, axes = found.text(), found.number("I")
    if not 1 <= axes <= MOST_AXES:
        raise ValueError(f"the tensor {clipped(name)} has {axes:,} axes")
    sizes = [found.number("Q") for _ in range(axes)]
    code, offset = found.number("I"), found.number("Q")
    if code not in STORED:
        kinds = ", ".join(kind for kind, _, _ in STORED.values())
        stored = f"{NOT_READ[code]} (type {code})" if code in NOT_READ else f"type {code}, which nobody knows"
        raise _OtherKind(f"the tensor {clipped(name)} is stored as {stored}; read are {kinds}")
    kind, block, size = STORED[code]
    if sizes[0] % block or offset % alignment or not all(sizes):
        raise ValueError(f"the tensor {clipped(name)} has sizes or a place that a tensor of {kind} cannot have")
    return GgufTensor(name, tuple(reversed(sizes)), kind, offset, math.prod(sizes) // block * size)
