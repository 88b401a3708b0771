"""What the machine can do at most, and the least arithmetic that the job takes: the two ends of a speed's scale."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedConfig

GIGA = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating-point operations per real token, forward, and forward with backward."""

    evaluation: float
    training: float


def least_flops(config: PreTrainedConfig, lengths_N: NDArray[np.int64], *, rank: int) -> Flops:
    """Count what no exact method can leave out, with LoRA on q and v of every layer, the base frozen.

    Products only. Left out because nobody needs it: gradients of frozen weights, gradients below the first
    adapter's input, and everything in the last layer but k and v for tokens that are not the last of their sequence.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    head_dim = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    query, key = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    mean = float(lengths_N.mean())
    # Keys that a token sees on average: half of its own sequence, and long sequences have more tokens.
    seen = (float((lengths_N.astype(np.float64) ** 2).mean()) / mean + 1) / 2

    rest = 2 * (2 * hidden * query + 3 * hidden * config.intermediate_size)
    key_value = 2 * 2 * hidden * key
    attention = 4 * query * seen
    lora = 2 * rank * (2 * hidden + query + key)
    forward = (layers - 1) * (rest + key_value + attention + lora) + key_value + (rest + 4 * query * mean) / mean
    first = 2 * hidden * (query + 2 * key)
    backward = forward + (layers - 1) * (1.5 * attention + lora) - first
    return Flops(evaluation=forward, training=forward + backward)


def matrix_rate(device: torch.device, dtype: torch.dtype, *, repeats: int = 5) -> float:
    """Measure the machine's best square matrix product, in FLOP/s: the median of the best size."""
    sizes = (4096, 8192) if device.type == "cuda" else (1024, 2048, 3072)
    return max(_product_rate(size, device, dtype, repeats) for size in sizes)


def _product_rate(size: int, device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / float(np.median(seconds[2:]))
