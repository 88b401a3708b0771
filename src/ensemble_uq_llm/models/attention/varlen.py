"""Attention of a whole pack in one launch: PyTorch's flash attention for sequences of many lengths, on NVIDIA GPUs.

FlashAttention-2 (arXiv 2307.08691) as `torch.nn.attention.varlen` wraps it. Its backward adds up the gradient of the
queries atomically, so two runs need not agree to the last bit. What its keywords are depends on PyTorch's version:
they are read off its signature, and where they cannot say what a layer needs, `kernel_attends` says no.
"""

import inspect
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from ensemble_uq_llm.models.pack import Pack

DTYPES = (torch.bfloat16, torch.float16)
WIDEST_HEAD, HEAD_MULTIPLE = 256, 8
FIRST_CAPABILITY = (8, 0)
"""The kernel needs an A100 or later."""


def kernel_attends(
    query_THD: Tensor, *, pack: Pack, scaling: float, window: int | None, softcap: float | None = None
) -> bool:
    """Tell whether the kernel computes this attention, on this device and in this PyTorch."""
    head_dim = query_THD.shape[-1]
    return (
        has_kernel(query_THD.device)
        and query_THD.dtype in DTYPES
        and head_dim <= WIDEST_HEAD
        and head_dim % HEAD_MULTIPLE == 0
        and softcap is None
        and _form(head_dim, scaling, _closed_window(window, pack)) is not None
    )


def has_kernel(device: torch.device) -> bool:
    """Tell whether PyTorch has flash attention for `device`; what AMD's builds have was never tried."""
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= FIRST_CAPABILITY
    )


def varlen_attention(
    query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, *, pack: Pack, scaling: float, window: int | None
) -> Tensor:
    """Attend causally within each sequence; H query heads share G key heads (GQA). Returns [T, H, D]."""
    rows = (pack.offsets_B1, pack.longest)
    return _launch(query_THD, key_TGD, value_TGD, rows, pack=pack, scaling=scaling, window=window)


def varlen_attention_of_last(
    query_BHD: Tensor, key_TGD: Tensor, value_TGD: Tensor, *, pack: Pack, scaling: float, window: int | None
) -> Tensor:
    """Attend from each sequence's last token to its own sequence. Returns [B, H, D]."""
    # Queries of fewer rows than keys are the last of them, so causal and windowed mean here what they mean above.
    rows = (torch.arange(len(query_BHD) + 1, dtype=torch.int32, device=query_BHD.device), 1)
    return _launch(query_BHD, key_TGD, value_TGD, rows, pack=pack, scaling=scaling, window=window)


def expand_heads(key: Tensor, query: Tensor) -> Tensor:
    """Repeat the key heads, axis 1, until every query head has its own."""
    repeats = query.shape[1] // key.shape[1]
    return key if repeats == 1 else key.repeat_interleave(repeats, dim=1)


def _launch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_rows: tuple[Tensor, int],
    *,
    pack: Pack,
    scaling: float,
    window: int | None,
) -> Tensor:
    form = _form(query.shape[-1], scaling, _closed_window(window, pack))
    assert form is not None, "ask kernel_attends first"
    if "enable_gqa" in _parameters(varlen_attn):
        form["enable_gqa"] = query.shape[1] != key.shape[1]
    else:
        key, value = expand_heads(key, query), expand_heads(value, query)
    query_offsets, longest_query = query_rows
    output = varlen_attn(query, key, value, query_offsets, pack.offsets_B1, longest_query, pack.longest, **form)
    assert isinstance(output, Tensor), "the log-sum-exp beside it comes only when asked for"
    return output


def _form(head_dim: int, scaling: float, window: int | None) -> dict[str, Any] | None:
    """Return the keywords for causal attention of this scaling and window; None where this PyTorch has none."""
    parameters = _parameters(varlen_attn)
    if {"window_size", "scale"} <= parameters:  # from PyTorch 2.11 on
        # The kernel counts the keys to the left of the query's own, minus one for all; none to its right.
        return {"window_size": (-1 if window is None else window - 1, 0), "scale": scaling}
    if "is_causal" in parameters and window is None and math.isclose(scaling, head_dim**-0.5):  # PyTorch 2.10
        return {"is_causal": True}
    return None


def _closed_window(window: int | None, pack: Pack) -> int | None:
    """Return the sliding window, None where it hides nothing: plain causal attention is the faster kernel."""
    return None if window is None or window >= pack.longest else window


@lru_cache(maxsize=4)
def _parameters(kernel: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(kernel).parameters)
