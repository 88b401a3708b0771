"""The tensors of an adapter, from the bytes of its file: floating-point, finite, and named as PEFT names them."""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.weights import long_header
from ensemble_uq_llm.utils.text import clipped

PREFIX: Final = "base_model.model."
"""What PEFT puts before the names of the whole model."""

_FLOATING: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def tensors_of(body: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in float32 by their names in the base model; `path` is what messages call the file.

    Raises:
        IntegrityError: no safetensors file, or a tensor that is not of floating-point numbers, not finite, empty, or
            not of PEFT.
    """
    if reason := long_header(body[:8]):
        raise IntegrityError(f"{path}: not a readable safetensors file: {reason}")
    try:
        stored = load(body)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch does not have
        raise IntegrityError(f"{path}: not a readable safetensors file: {quoted(error)}") from None
    return {name.removeprefix(PREFIX): _checked(name, tensor, path) for name, tensor in stored.items()}


def _checked(name: str, tensor: Tensor, path: Path) -> Tensor:
    if not name.startswith(PREFIX):
        raise IntegrityError(f"{path}: unexpected tensor {clipped(name)}; PEFT's begin with {PREFIX!r}")
    if tensor.dtype not in _FLOATING:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise IntegrityError(
            f"{path}: {clipped(name)} is of type {kind}; only floating-point numbers of 16 bits or more are read"
        )
    if not tensor.numel():
        raise IntegrityError(f"{path}: {clipped(name)} has shape {tuple(tensor.shape)}, so it is empty")
    if not tensor.float().isfinite().all():
        raise IntegrityError(f"{path}: {clipped(name)} holds NaN or infinity")
    return tensor.float()
