"""Some rows of a matrix in a GGUF file, dequantised: no more of it than is asked for is in memory."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader

BYTES_AT_ONCE: Final = 2**18
"""Of a file's bytes, as many as the steps of dequantising can keep near the processor."""


class GgufRows:
    """A tensor of the file, to be sliced by its rows; what comes out is float32."""

    def __init__(self, header: GgufHeader, name: str) -> None:
        self._path = header.path
        self._tensor = header.tensors[name]
        self._row = self._tensor.size // self._tensor.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self._tensor.shape

    def __getitem__(self, rows: slice) -> Tensor:
        """Return some rows that follow each other."""
        start, end, _ = rows.indices(self.shape[0])
        found = torch.empty(end - start, *self.shape[1:])
        for place, part in self.parts(start, end):
            found[place.start - start : place.stop - start] = part
        return found

    def parts(self, start: int = 0, end: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows, all or from one to another, some at a time, and which they are."""
        last = self.shape[0] if end is None else end
        step = max(1, BYTES_AT_ONCE // self._row)
        with self._path.open("rb") as stream:
            stream.seek(self._tensor.place + start * self._row)
            for first in range(start, last, step):
                rows = slice(first, min(first + step, last))
                stored = stream.read((rows.stop - first) * self._row)
                yield rows, torch.from_numpy(_dequantised(stored, self._tensor.kind)).reshape(-1, *self.shape[1:])


def _dequantised(stored: bytes, kind: str) -> Any:
    """Return the numbers of whole blocks. The library takes 16 rows at a time, so all blocks are one row here."""
    import gguf

    blocks = np.frombuffer(stored, dtype=np.uint8)[None]
    with np.errstate(all="ignore"):  # a model that is not finite is refused by name, once it is whole
        return np.array(gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind])[0], dtype=np.float32)
