"""Causal attention within each sequence of a pack; no T x T mask, no padding.

Registered with transformers under `PACKED_ATTENTION`, so that every decoder that dispatches its attention
through `AttentionInterface` (Llama, Mistral, Qwen2, Qwen3, Gemma ...) runs packed without a fork of its code.
A kernel for the whole pack computes it on a GPU, batched products on a CPU; what neither can goes one by one.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from ensemble_uq_llm.models.attention.products import product_attention, product_attention_of_last
from ensemble_uq_llm.models.attention.varlen import (
    expand_heads,
    kernel_attends,
    varlen_attention,
    varlen_attention_of_last,
)
from ensemble_uq_llm.models.pack import Pack

PACKED_ATTENTION = "ensemble_uq_packed"

LONGEST_AS_PRODUCTS = 1024
"""Longer sequences go one by one: the attention weights, kept as products, would be most of the memory."""


def packed_attention(
    module: nn.Module,
    query_1HTD: Tensor,
    key_1GTD: Tensor,
    value_1GTD: Tensor,
    attention_mask: Tensor | None,
    *,
    pack: Pack,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each sequence; H query heads share G key heads (GQA). The signature is transformers' own.

    Returns:
        The output [1, T, H, D], and None where transformers expects attention weights.
    """
    if kernel_attends(query_1HTD, pack=pack, scaling=scaling, window=sliding_window, softcap=softcap):
        query, key, value = _rows_first(query_1HTD, key_1GTD, value_1GTD)
        return varlen_attention(query, key, value, pack=pack, scaling=scaling, window=sliding_window)[None], None
    if pack.buckets is not None and _as_products(pack, window=sliding_window, softcap=softcap):
        query, key, value = _rows_first(query_1HTD, key_1GTD, value_1GTD)
        return product_attention(query, key, value, buckets=pack.buckets, scaling=scaling)[None], None
    outputs = [
        _attend(query, key, value, scaling=scaling, window=sliding_window, softcap=softcap)
        for query, key, value in zip(
            # split, not slices: the backward of a slice fills a tensor of the whole pack with zeros
            query_1HTD.split(pack.lengths, dim=2),
            expand_heads(key_1GTD, query_1HTD).split(pack.lengths, dim=2),
            expand_heads(value_1GTD, query_1HTD).split(pack.lengths, dim=2),
            strict=True,
        )
    ]
    return torch.cat([output.transpose(1, 2) for output in outputs], dim=1), None


def last_token_attention(
    query_1HBD: Tensor, key_1GTD: Tensor, value_1GTD: Tensor, *, pack: Pack, scaling: float, window: int | None
) -> Tensor:
    """Attend from each sequence's last token to its own sequence. Returns [1, B, H, D]."""
    if kernel_attends(query_1HBD, pack=pack, scaling=scaling, window=window):
        query, key, value = _rows_first(query_1HBD, key_1GTD, value_1GTD)
        return varlen_attention_of_last(query, key, value, pack=pack, scaling=scaling, window=window)[None]
    if pack.buckets is not None and _as_products(pack, window=window):
        query, key, value = _rows_first(query_1HBD, key_1GTD, value_1GTD)
        return product_attention_of_last(query, key, value, buckets=pack.buckets, scaling=scaling)[None]
    outputs = [
        F.scaled_dot_product_attention(query, _last(key, window), _last(value, window), scale=scaling)
        for query, key, value in zip(
            query_1HBD.split(1, dim=2),
            expand_heads(key_1GTD, query_1HBD).split(pack.lengths, dim=2),
            expand_heads(value_1GTD, query_1HBD).split(pack.lengths, dim=2),
            strict=True,
        )
    ]
    return torch.cat([output.transpose(1, 2) for output in outputs], dim=1)


def _as_products(pack: Pack, *, window: int | None, softcap: float | None = None) -> bool:
    """Tell whether batched products compute this attention, and pay."""
    visible = window is None or window >= pack.longest
    return visible and softcap is None and pack.longest <= LONGEST_AS_PRODUCTS


def _rows_first(*tensors_1HTD: Tensor) -> tuple[Tensor, ...]:
    return tuple(each[0].transpose(0, 1) for each in tensors_1HTD)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    length = query.shape[2]
    if softcap is not None:
        return _attend_softcapped(query, key, value, scaling, softcap, _causal_mask(length, window, query.device))
    if window is not None and length > window:
        mask = _causal_mask(length, window, query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)


def _attend_softcapped(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float, mask_QK: Tensor
) -> Tensor:
    """Attention with tanh-capped scores (Gemma 2, arXiv 2408.00118, section 2), for which SDPA has no kernel."""
    scores = torch.tanh(query @ key.transpose(2, 3) * (scaling / softcap)) * softcap
    weights = scores.float().masked_fill(~mask_QK, float("-inf")).softmax(dim=-1)
    return weights.to(query.dtype) @ value


def _causal_mask(length: int, window: int | None, device: torch.device) -> Tensor:
    """True where query row may see key column: not after itself, and within the sliding window if there is one."""
    age_QK = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    visible_QK = age_QK >= 0
    return visible_QK if window is None else visible_QK & (age_QK < window)


def _last(keys: Tensor, window: int | None) -> Tensor:
    return keys if window is None else keys[:, :, -window:]


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
