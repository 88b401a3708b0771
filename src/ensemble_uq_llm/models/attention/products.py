"""Attention as batched matrix products over buckets of sequences: the fast form on a CPU.

PyTorch's own CPU kernel takes one sequence a call, and its backward is slow, in bfloat16 most of all. Here the
weights of the forward are kept for the backward, and one product serves a whole bucket. Queries go in blocks, so
that most of the scores which no query may see are never computed.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ensemble_uq_llm.models.attention.buckets import Bucket, Buckets

QUERY_BLOCK = 128


def product_attention(
    query_THD: Tensor, key_TGD: Tensor, value_TGD: Tensor, *, buckets: Buckets, scaling: float
) -> Tensor:
    """Attend causally within each sequence; H query heads share G key heads (GQA). Returns [T, H, D]."""
    output_THD: Tensor = _ProductAttention.apply(query_THD, key_TGD, value_TGD, buckets, scaling, False)
    return output_THD


def product_attention_of_last(
    query_BHD: Tensor, key_TGD: Tensor, value_TGD: Tensor, *, buckets: Buckets, scaling: float
) -> Tensor:
    """Attend from each sequence's last token to its whole sequence. Returns [B, H, D]."""
    output_BHD: Tensor = _ProductAttention.apply(query_BHD, key_TGD, value_TGD, buckets, scaling, True)
    return output_BHD


class _ProductAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, buckets: Buckets, scaling: float, of_last: bool
    ) -> Tensor:
        outputs: list[Tensor] = []
        kept: list[Tensor] = []
        for bucket in buckets.each:
            side = _Side(bucket, query, key, of_last)
            own_query, own_key, own_value = side.queries(query), side.keys(key), side.keys(value)
            own_output = torch.empty_like(own_query)
            for rows, seen, mask in side.blocks():
                block = own_query[:, :, rows].flatten(1, 2)
                weights = torch.baddbmm(mask, block, own_key[:, :seen].mT, alpha=scaling).softmax(-1)
                own_output[:, :, rows] = (weights @ own_value[:, :seen]).unflatten(1, (side.repeats, -1))
                kept.append(weights)
            outputs.append(side.query_rows(own_output))
        ctx.save_for_backward(query, key, value, *kept)
        ctx.buckets, ctx.scaling, ctx.of_last = buckets, scaling, of_last
        return torch.cat(outputs).index_select(0, buckets.places_B if of_last else buckets.places_T)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        grads_query: list[Tensor] = []
        grads_key: list[Tensor] = []
        grads_value: list[Tensor] = []
        weights_of_blocks = iter(kept)
        nothing = query.new_zeros(1)
        for bucket in ctx.buckets.each:
            side = _Side(bucket, query, key, ctx.of_last)
            own_query, own_key, own_value = side.queries(query), side.keys(key), side.keys(value)
            own_grad = side.gradients(grads[0])
            own_grad_query = torch.empty_like(own_query)
            own_grad_key, own_grad_value = torch.zeros_like(own_key), torch.zeros_like(own_value)
            for rows, seen, _ in side.blocks():
                weights = next(weights_of_blocks)
                grad = own_grad[:, :, rows].flatten(1, 2)
                grad_scores = torch._softmax_backward_data(grad @ own_value[:, :seen].mT, weights, -1, weights.dtype)
                # The products scale: there are more scores than what comes out of them.
                grad_block = torch.baddbmm(nothing, grad_scores, own_key[:, :seen], beta=0, alpha=ctx.scaling)
                own_grad_query[:, :, rows] = grad_block.unflatten(1, (side.repeats, -1))
                block = own_query[:, :, rows].flatten(1, 2)
                own_grad_key[:, :seen].baddbmm_(grad_scores.mT, block, alpha=ctx.scaling)
                own_grad_value[:, :seen].baddbmm_(weights.mT, grad)
            grads_query.append(side.query_rows(own_grad_query))
            grads_key.append(side.key_rows(own_grad_key))
            grads_value.append(side.key_rows(own_grad_value))
        places_T = ctx.buckets.places_T
        grad_query = torch.cat(grads_query).index_select(0, ctx.buckets.places_B if ctx.of_last else places_T)
        grad_key, grad_value = (torch.cat(each).index_select(0, places_T) for each in (grads_key, grads_value))
        return grad_query, grad_key, grad_value, None, None, None


class _Side:
    """One bucket's rows out of the pack and back, in the layout of the products: S * G batches."""

    def __init__(self, bucket: Bucket, query: Tensor, key: Tensor, of_last: bool) -> None:
        self.bucket, self.of_last = bucket, of_last
        self.sequences, self.places = bucket.rows_SP.shape
        self.groups = key.shape[1]
        self.repeats = query.shape[1] // self.groups
        self.dtype = query.dtype

    def queries(self, x_QHD: Tensor) -> Tensor:
        """Return the bucket's queries [S * G, repeats, P or 1, D]."""
        rows = self.bucket.sequences_S if self.of_last else self.bucket.rows_SP.view(-1)
        return self._split(x_QHD.index_select(0, rows))

    def gradients(self, grad_QHD: Tensor) -> Tensor:
        """Return the gradient of the bucket's output, in the layout of the queries; padding has none."""
        if self.of_last:
            return self.queries(grad_QHD)
        rows = grad_QHD.index_select(0, self.bucket.rows_SP.view(-1))
        return self._split(rows.index_fill_(0, self.bucket.padding_R, 0))

    def keys(self, x_TGD: Tensor) -> Tensor:
        """Return the bucket's keys or values [S * G, P, D]."""
        rows = x_TGD.index_select(0, self.bucket.rows_SP.view(-1))
        return rows.unflatten(0, (self.sequences, -1)).transpose(1, 2).flatten(0, 1)

    def query_rows(self, own: Tensor) -> Tensor:
        """Return what is in the layout of `queries` as rows [S * P or S, H, D]."""
        rows = own.unflatten(0, (self.sequences, self.groups)).permute(0, 3, 1, 2, 4)
        return rows.reshape(-1, self.groups * self.repeats, own.shape[-1])

    def key_rows(self, own: Tensor) -> Tensor:
        """Return what is in the layout of `keys` as rows [S * P, G, D]."""
        return own.unflatten(0, (self.sequences, -1)).transpose(1, 2).flatten(0, 1)

    def blocks(self) -> Iterator[tuple[slice, int, Tensor]]:
        """Yield blocks of queries: their rows, how many keys they may see, and the mask to add to their scores."""
        if self.of_last:
            hidden = torch.arange(self.places) >= self.bucket.lengths_S[:, None]
            mask = torch.zeros(hidden.shape, dtype=self.dtype).masked_fill_(hidden, float("-inf"))
            yield slice(None), self.places, mask[:, None].repeat_interleave(self.groups, 0)
            return
        for start in range(0, self.places, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, self.places)
            yield slice(start, stop), stop, _causal_mask(start, stop, self.repeats, self.dtype)

    def _split(self, rows: Tensor) -> Tensor:
        split = rows.view(self.sequences, -1, self.groups, self.repeats, rows.shape[-1]).permute(0, 2, 3, 1, 4)
        return split.flatten(0, 1)


@lru_cache(maxsize=256)
def _causal_mask(start: int, stop: int, repeats: int, dtype: torch.dtype) -> Tensor:
    """Return what to add to the scores [1, repeats * Q, stop] of queries `start:stop`: minus infinity ahead of them."""
    ahead = torch.arange(stop) > torch.arange(start, stop)[:, None]
    return torch.zeros(ahead.shape, dtype=dtype).masked_fill_(ahead, float("-inf")).repeat(repeats, 1)[None]
