"""A GGUF file's decoder: its tensors dequantised, and put back into the order and the values that transformers has."""

from typing import Any, Final

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedConfig

from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader
from ensemble_uq_llm.models.gguf.gguf_rows import GgufRows
from ensemble_uq_llm.models.gguf.gguf_settings import architecture_of
from ensemble_uq_llm.models.gguf.gguf_tensors import parameters_of

_QUERIES: Final = ".q_proj.weight"
_KEYS: Final = ".k_proj.weight"
_NORM: Final = "norm.weight"


def need_gguf() -> None:
    """Import what dequantises, before any work.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import gguf  # noqa: F401


def load_gguf_decoder(
    header: GgufHeader, *, config: PreTrainedConfig, dtype: torch.dtype, **settings: Any
) -> tuple[Any, Any]:
    """Return the decoder of `gguf_settings` and what transformers tells of its loading.

    Every weight is dequantised in float32 and then rounded to `dtype`, as the weights of a folder in float32 are. The
    other `settings` are those of `from_pretrained`.
    """
    need_gguf()
    weights = {
        name: _weight(header, tensor.name, name, config=config, dtype=dtype)
        for name, tensor in parameters_of(header).items()
    }
    kind: Any = transformers.MODEL_MAPPING[type(config)]
    found: tuple[Any, Any] = kind.from_pretrained(None, config=config, state_dict=weights, dtype=dtype, **settings)
    return found


def _weight(header: GgufHeader, stored: str, name: str, *, config: PreTrainedConfig, dtype: torch.dtype) -> Tensor:
    """Return a tensor as the parameter of this name, a part at a time: never is the whole of it there in float32."""
    _, architecture = architecture_of(header)
    rows = GgufRows(header, stored)
    weight = torch.empty(rows.shape, dtype=dtype)
    for place, part in rows.parts():
        weight[place] = part - 1 if architecture.norms_plus_one and name.endswith(_NORM) else part
    if architecture.rows_in_pairs and name.endswith(_QUERIES):
        return in_halves(weight, config.num_attention_heads)
    if architecture.rows_in_pairs and name.endswith(_KEYS):
        return in_halves(weight, config.num_key_value_heads)
    return weight


def in_halves(weight: Tensor, heads: int) -> Tensor:
    """Put a projection's rows, which llama.cpp has in the order of its rotation, where transformers' rotation has them.

    llama.cpp rotates each row with the next, transformers each with that half a head away.
    """
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape)
