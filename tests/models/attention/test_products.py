"""Attention as products against attention of one sequence after the other, forward and gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ensemble_uq_llm.models.attention.buckets import make_buckets
from ensemble_uq_llm.models.attention.products import product_attention, product_attention_of_last
from tiny_models import assert_close

HEADS, HEAD_DIM, SCALING = 4, 16, 0.3
LENGTHS = np.array([300, 1, 9, 64, 10, 9, 129, 300, 33, 7, 9, 9])
"""Alone and in company, below, at and beyond a block of queries."""


def drawn(key_heads: int, dtype: torch.dtype = torch.float32, lengths_B: np.ndarray = LENGTHS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(int(lengths_B.sum()), heads, HEAD_DIM) for heads in (HEADS, key_heads, key_heads)]
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def in_float64(tensors: list[Tensor]) -> list[Tensor]:
    return [each.detach().double().requires_grad_() for each in tensors]


def fast(query: Tensor, key: Tensor, value: Tensor, *, of_last: bool, lengths_B: np.ndarray = LENGTHS) -> Tensor:
    form = product_attention_of_last if of_last else product_attention
    rows = query[torch.from_numpy(np.cumsum(lengths_B) - 1)] if of_last else query
    return form(rows, key, value, buckets=make_buckets(lengths_B), scaling=SCALING)


def plain(query: Tensor, key: Tensor, value: Tensor, *, of_last: bool, lengths_B: np.ndarray = LENGTHS) -> Tensor:
    """Softmax attention as transformers' eager form computes it, sequence by sequence, in the tensors' dtype."""
    repeats = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(repeats, dim=1) for each in (key, value))
    outputs = []
    for q_LHD, k_LHD, v_LHD in zip(*(each.split(lengths_B.tolist()) for each in (query, key, value)), strict=True):
        scores = torch.einsum("qhd,khd->hqk", q_LHD, k_LHD) * SCALING
        ahead = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        inner = torch.float64 if scores.dtype == torch.float64 else torch.float32
        weights = scores.masked_fill(ahead, float("-inf")).softmax(-1, dtype=inner).to(scores.dtype)
        output = torch.einsum("hqk,khd->qhd", weights, v_LHD)
        outputs.append(output[-1:] if of_last else output)
    return torch.cat(outputs)


def with_gradients(form, tensors: list[Tensor], *, of_last: bool) -> list[Tensor]:
    output = form(*tensors, of_last=of_last)
    sent = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return [output.detach(), *torch.autograd.grad(output, tensors, sent.to(output.dtype))]


@pytest.mark.parametrize("of_last", [False, True])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_equals_plain_attention(key_heads, of_last):
    exact = with_gradients(
        plain, [each.detach().double().requires_grad_() for each in drawn(key_heads)], of_last=of_last
    )
    for actual, expected in zip(with_gradients(fast, drawn(key_heads), of_last=of_last), exact, strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("of_last", [False, True])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_bfloat16_errs_no_more_than_the_plain_form(key_heads, of_last):
    tensors = drawn(key_heads, torch.bfloat16)
    exact = with_gradients(plain, in_float64(tensors), of_last=of_last)
    rough = with_gradients(plain, tensors, of_last=of_last)
    ours = with_gradients(fast, tensors, of_last=of_last)
    for mine, theirs, true in zip(ours, rough, exact, strict=True):
        assert mine.dtype == torch.bfloat16
        allowed = (theirs.double() - true).square().mean().sqrt()
        assert allowed > 0
        assert (mine.double() - true).square().mean().sqrt() <= allowed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [9, 33, 300])
def test_a_sequence_is_bit_equal_alone_and_in_any_company(length, dtype):
    alone = [each[:length].detach() for each in drawn(2, dtype)]
    for company in ([length], [length, 9, 300, 64], [length] * 7):
        lengths_B = np.array(company)
        tensors = drawn(2, dtype, lengths_B)
        for whole, own in zip(tensors, alone, strict=True):
            whole.data[:length] = own
        actual = with_gradients(
            lambda *qkv, of_last, n=lengths_B: fast(*qkv, of_last=of_last, lengths_B=n)[:length], tensors, of_last=False
        )
        if company == [length]:
            expected = actual
        for mine, theirs in zip(actual, expected, strict=True):
            assert torch.equal(mine[:length], theirs[:length])


def test_a_poisoned_sequence_leaves_the_others_bit_equal():
    healthy = with_gradients(fast, drawn(2), of_last=False)
    tensors = drawn(2)
    poisoned = slice(301, 310)  # of length 9, in a bucket with others
    with torch.no_grad():
        for each in tensors:
            each[poisoned] = float("nan")
    others = torch.ones(len(tensors[0]), dtype=torch.bool)
    others[poisoned] = False
    for actual, expected in zip(with_gradients(fast, tensors, of_last=False), healthy, strict=True):
        assert actual[poisoned].isnan().any()
        assert torch.equal(actual[others], expected[others])
