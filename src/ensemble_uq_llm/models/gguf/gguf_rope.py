"""A GGUF file's rotary frequencies, in the words of transformers.

llama.cpp's converter writes the scaling of Llama 3.1 and later as one divisor a frequency (`rope_freqs.weight`), and
not the numbers that they were made from. These are the published ones, but for one: so they are put in again, and what
transformers computes from them must be the frequencies of the file.
"""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.gguf.gguf_architectures import Architecture
from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader
from ensemble_uq_llm.utils.text import clipped

DIVISORS: Final = "rope_freqs.weight"
LLAMA_3: Final = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What divisors are made from, beside the largest of them; the converter itself knows no other length."""
TOLERANCE: Final = 1e-6
"""Of the frequencies, relative: they are float32."""
USUAL_BASE: Final = 10_000.0

READ: Final = ("freq_base", "freq_base_swa", "scaling.type", "scaling.factor", "scaling.original_context_length")
"""The keys of `rope` that are read here; the last means something with kinds of scaling that are refused."""


def rope_settings(header: GgufHeader, kind: str, architecture: Architecture) -> dict[str, Any]:
    """Return the configuration's keys for rotary frequencies.

    Raises:
        ModelError: a kind of scaling that is not read from GGUF, or numbers that cannot be.
    """
    keys = {name: header.values[full] for name in READ if (full := f"{kind}.rope.{name}") in header.values}
    base = _positive(header, f"{kind}.rope.freq_base", keys.get("freq_base", USUAL_BASE))
    rope = {"rope_type": "default", "rope_theta": base}
    way = keys.get("scaling.type", "linear")
    factor = 1.0 if way == "none" else keys.get("scaling.factor", 1.0) or 1.0  # llama.cpp writes 0 for none, too
    if way not in ("none", "linear"):
        raise _unread(header, f"says {kind}.rope.scaling.type = {clipped(way)}")
    if factor != 1.0:
        rope |= {"rope_type": "linear", "factor": _positive(header, f"{kind}.rope.scaling.factor", factor)}
    if DIVISORS in header.tensors:
        largest = float(_divisors(header).max())
        if factor != 1.0 or architecture.model_type == "gemma3_text" or not largest >= 1.0:
            raise _unread(header, f"has a tensor {clipped(DIVISORS)} that goes with no known scaling")
        if largest > 1.0:
            rope |= {"rope_type": "llama3", "factor": largest, **LLAMA_3}
    if architecture.model_type == "gemma3_text":
        local = _positive(header, f"{kind}.rope.freq_base_swa", keys.get("freq_base_swa", USUAL_BASE))
        return {
            "rope_parameters": {
                "full_attention": rope,
                "sliding_attention": {"rope_type": "default", "rope_theta": local},
            }
        }
    if "freq_base_swa" in keys:
        raise _unread(header, f"says {kind}.rope.freq_base_swa = {clipped(keys['freq_base_swa'])}")
    return {"rope_parameters": rope}


def check_divisors(header: GgufHeader, settings: PreTrainedConfig) -> None:
    """Compare the divisors of the frequencies, where a file has some, with what transformers makes of the settings.

    Raises:
        ModelError: they are others.
    """
    if DIVISORS not in header.tensors:
        return
    found = _divisors(header)
    rope: Any = settings.rope_parameters
    width = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    undivided = 1.0 / rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float) / width)
    wanted = undivided
    if rope["rope_type"] != "default":
        wanted = ROPE_INIT_FUNCTIONS[rope["rope_type"]](settings, torch.device("cpu"))[0]
    if found.shape != wanted.shape or not torch.allclose(undivided / found, wanted, rtol=TOLERANCE, atol=0):
        raise _unread(header, f"has a tensor {clipped(DIVISORS)} that goes with no known scaling")


def _divisors(header: GgufHeader) -> Tensor:
    tensor = header.tensors[DIVISORS]
    if tensor.kind != "F32" or len(tensor.shape) != 1:
        raise ModelError(
            f"model_name: {DIVISORS} in {header.path} has shape {tensor.shape} and is stored as {tensor.kind}; it must "
            "be a list in F32; get the file again"
        )
    stored = np.fromfile(header.path, dtype="<f4", count=tensor.shape[0], offset=tensor.place)
    return torch.from_numpy(stored)


def _positive(header: GgufHeader, key: str, number: object) -> float:
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < float("inf"):
        raise ModelError(f"model_name: {key} in {header.path} must be a positive number, found {clipped(number)}")
    return float(number)


def _unread(header: GgufHeader, what: str) -> ModelError:
    return ModelError(
        f"model_name: {header.path} {what}, and its rotary frequencies could not be those of the model; give the "
        "model's folder of safetensors instead"
    )
