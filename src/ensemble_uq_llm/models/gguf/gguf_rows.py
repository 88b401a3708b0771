"""Some rows of a matrix in a GGUF file, dequantised: no more of it than is asked for is in memory."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader


class GgufRows:
    """A matrix of the file, to be sliced by rows; what comes out is float32, as transformers' reader dequantises it."""

    def __init__(self, header: GgufHeader, name: str) -> None:
        self._tensor = header.tensors[name]
        rows = self._tensor.shape[0]
        self._bytes: Any = np.memmap(header.path, dtype=np.uint8, mode="r", offset=self._tensor.place)
        self._bytes = self._bytes[: self._tensor.size].reshape(rows, self._tensor.size // rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self._tensor.shape

    def __getitem__(self, rows: slice) -> Tensor:
        """Return some rows."""
        import gguf

        kind = gguf.GGMLQuantizationType[self._tensor.kind]
        stored = np.array(self._bytes[rows])
        return torch.from_numpy(np.array(gguf.dequantize(stored, kind), dtype=np.float32))
