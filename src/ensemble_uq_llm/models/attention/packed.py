"""Causal attention within each sequence of a pack, without a T x T mask.

Registered with transformers under `PACKED_ATTENTION`, so that a decoder that dispatches its attention through
`AttentionInterface` runs packed without a fork of its code; `checks/families.py` lists those that do so rightly.
A kernel for the whole pack computes it on a GPU, batched products on a CPU, for which sequences are padded to a few
lengths (`buckets.py`); what neither can goes one by one.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from ensemble_uq_llm.errors import ModelError
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
    query_THD: Tensor,
    key_TGD: Tensor,
    value_TGD: Tensor,
    *,
    pack: Pack,
    scaling: float,
    window: int | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Attend within each sequence; H query heads share G key heads (GQA). Returns [T, H, D]."""
    if kernel_attends(query_THD, pack=pack, scaling=scaling, window=window, softcap=softcap):
        return varlen_attention(query_THD, key_TGD, value_TGD, pack=pack, scaling=scaling, window=window)
    if pack.buckets is not None and _as_products(pack, window=window, softcap=softcap):
        return product_attention(query_THD, key_TGD, value_TGD, buckets=pack.buckets, scaling=scaling)
    # split, not slices: the backward of a slice fills a tensor of the whole pack with zeros
    sequences = zip(
        query_THD.split(pack.lengths),
        expand_heads(key_TGD, query_THD).split(pack.lengths),
        expand_heads(value_TGD, query_THD).split(pack.lengths),
        strict=True,
    )
    return torch.cat([_attend(*rows, scaling=scaling, window=window, softcap=softcap) for rows in sequences])


def last_token_attention(
    query_BHD: Tensor, key_TGD: Tensor, value_TGD: Tensor, *, pack: Pack, scaling: float, window: int | None
) -> Tensor:
    """Attend from each sequence's last token to its own sequence. Returns [B, H, D]."""
    if kernel_attends(query_BHD, pack=pack, scaling=scaling, window=window):
        return varlen_attention_of_last(query_BHD, key_TGD, value_TGD, pack=pack, scaling=scaling, window=window)
    if pack.buckets is not None and _as_products(pack, window=window):
        return product_attention_of_last(query_BHD, key_TGD, value_TGD, buckets=pack.buckets, scaling=scaling)
    sequences = zip(
        query_BHD.split(1),
        expand_heads(key_TGD, query_BHD).split(pack.lengths),
        expand_heads(value_TGD, query_BHD).split(pack.lengths),
        strict=True,
    )
    return torch.cat(
        [_sdpa(query, _last(key, window), _last(value, window), scale=scaling) for query, key, value in sequences]
    )


HARMLESS = frozenset({"dropout", "position_ids", "use_cache", "cache_position", "output_attentions", "return_dict"})
"""What transformers' layers hand to attention beside this function's own arguments, and need not be heeded."""


def attention_for_transformers(
    module: nn.Module,
    query_1HTD: Tensor,
    key_1GTD: Tensor,
    value_1GTD: Tensor,
    attention_mask: Tensor | None,
    *,
    pack: Pack | None = None,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend within each sequence, with the signature and layout of transformers' own attention functions.

    Returns:
        The output [1, T, H, D], and None where transformers expects attention weights.

    Raises:
        ModelError: the layer does not hand on the pack, or asks for more than causal attention.
    """
    if pack is None:
        raise ModelError(f"model_name: {type(module).__name__} is not handed the pack by its layer, so cannot heed it")
    if unknown := sorted(name for name, value in others.items() if value is not None and name not in HARMLESS):
        raise ModelError(f"model_name: {type(module).__name__} wants {', '.join(unknown)}, more than causal attention")
    if getattr(module, "is_causal", True) is False:
        raise ModelError(f"model_name: the attention of {type(module).__name__} is not causal")
    query, key, value = (each.squeeze(0).transpose(0, 1) for each in (query_1HTD, key_1GTD, value_1GTD))
    output_THD = packed_attention(query, key, value, pack=pack, scaling=scaling, window=sliding_window, softcap=softcap)
    return output_THD.unsqueeze(0), None


def _as_products(pack: Pack, *, window: int | None, softcap: float | None = None) -> bool:
    """Tell whether batched products compute this attention, and pay."""
    visible = window is None or window >= pack.longest
    return visible and softcap is None and pack.longest <= LONGEST_AS_PRODUCTS


def _attend(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    """Attend within one sequence, rows [T, H, D]."""
    length = len(query)
    if softcap is not None:
        return _attend_softcapped(query, key, value, scaling, softcap, _causal_mask(length, window, query.device))
    if window is not None and length > window:
        return _sdpa(query, key, value, attn_mask=_causal_mask(length, window, query.device), scale=scaling)
    return _sdpa(query, key, value, is_causal=True, scale=scaling)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Tensor:
    """PyTorch's attention, which wants heads before rows."""
    query, key, value = (each.transpose(0, 1).unsqueeze(0) for each in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, **how).squeeze(0).transpose(0, 1)


def _attend_softcapped(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, softcap: float, mask_QK: Tensor
) -> Tensor:
    """Attention with tanh-capped scores (Gemma 2, arXiv 2408.00118, section 2), for which SDPA has no kernel."""
    query_HTD, key_HTD, value_HTD = (each.transpose(0, 1) for each in (query, key, value))
    scores = torch.tanh(query_HTD @ key_HTD.mT * (scaling / softcap)) * softcap
    weights = scores.float().masked_fill(~mask_QK, float("-inf")).softmax(dim=-1)
    return (weights.to(query.dtype) @ value_HTD).transpose(0, 1)


def _causal_mask(length: int, window: int | None, device: torch.device) -> Tensor:
    """True where query row may see key column: not after itself, and within the sliding window if there is one."""
    age_QK = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    visible_QK = age_QK >= 0
    return visible_QK if window is None else visible_QK & (age_QK < window)


def _last(keys: Tensor, window: int | None) -> Tensor:
    return keys if window is None else keys[-window:]


AttentionInterface.register(PACKED_ATTENTION, attention_for_transformers)
