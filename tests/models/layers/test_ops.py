"""The parts of a layer between its products, against the plain forms of transformers and of torch."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from ensemble_uq_llm.models.layers.ops import rms_norm, rotary_table, rotate, swiglu
from tiny_models import assert_close

TOKENS, HEADS, HEAD_DIM, HIDDEN = 7, 4, 8, 48
EPS = 1e-6


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def with_gradients(function: Callable[..., Tensor], *inputs: Tensor, sent: Tensor) -> list[Tensor]:
    """Return the output, and the gradient of every input."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    output = function(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, sent)]


def plain_norm(weight: Tensor) -> LlamaRMSNorm:
    norm = LlamaRMSNorm(len(weight), eps=EPS).requires_grad_(False)
    norm.weight.data = weight
    return norm


def exact_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def plain_rotate(x_THD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    rotated, _ = apply_rotary_pos_emb(x_THD[None], x_THD[None], cos_TD[None], sin_TD[None], unsqueeze_dim=2)
    return rotated[0]


def rotation(dtype: torch.dtype = torch.float32, tokens: int = TOKENS) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [T, D], whose halves differ, so that a swapped half shows."""
    angles = normal(tokens, HEAD_DIM, seed=9, dtype=torch.float64)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def assert_errs_no_more(ours: list[Tensor], plain: list[Tensor], exact: list[Tensor], *, factor: float) -> None:
    for mine, rough, true in zip(ours, plain, exact, strict=True):
        assert mine.dtype == rough.dtype == torch.bfloat16
        allowed = (rough.double() - true).abs().mean().item()
        assert allowed > 0
        error = (mine.double() - true).abs().mean().item()
        assert error <= factor * allowed, f"{error:.3e}, and the plain form {allowed:.3e}"


@pytest.mark.parametrize("shape", [(TOKENS, HIDDEN), (TOKENS, HEADS, HIDDEN)], ids=["2-D", "3-D"])
@pytest.mark.parametrize("scale", [1.0, 1e5, 1e-2, 1e-5, 1e-12])
def test_rms_norm_equals_that_of_transformers(shape, scale):
    x = normal(*shape) * scale
    x[1] *= 1e3
    x[2] *= 1e-3
    weight, sent = 1 + 0.3 * normal(HIDDEN, seed=1), normal(*shape, seed=2)
    actual = with_gradients(lambda x: rms_norm(x, weight, EPS), x, sent=sent)
    expected = with_gradients(plain_norm(weight), x, sent=sent)
    for mine, plain in zip(actual, expected, strict=True):
        assert mine.dtype == torch.float32
        for row, other in zip(mine.flatten(0, -2), plain.flatten(0, -2), strict=True):
            assert_close(row, other)


def test_rms_norm_of_strided_rows():
    wide = normal(TOKENS, 2 * HIDDEN)
    weight, sent = 1 + 0.3 * normal(HIDDEN, seed=1), normal(HIDDEN, TOKENS, seed=2).t()
    actual = with_gradients(lambda x: rms_norm(x[:, ::2], weight, EPS), wide, sent=sent)
    expected = with_gradients(lambda x: plain_norm(weight)(x[:, ::2]), wide, sent=sent)
    for mine, plain in zip(actual, expected, strict=True):
        assert_close(mine, plain)


@pytest.mark.parametrize("hidden", [HIDDEN, 1024])
def test_rms_norm_in_bfloat16_errs_no_more_than_that_of_transformers(hidden):
    x, sent = (normal(200, hidden, seed=seed, dtype=torch.bfloat16) for seed in (0, 2))
    weight = (1 + 0.3 * normal(hidden, seed=1)).bfloat16()
    ours = with_gradients(lambda x: rms_norm(x, weight, EPS), x, sent=sent)
    plain = with_gradients(plain_norm(weight), x, sent=sent)
    exact = with_gradients(lambda x: exact_norm(x, weight.double()), x.double(), sent=sent.double())
    assert_errs_no_more(ours, plain, exact, factor=1.0)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_swiglu_equals_its_equation(scale):
    gate, up, sent = (normal(TOKENS, HIDDEN, seed=seed) for seed in range(3))
    actual = with_gradients(swiglu, gate * scale, up, sent=sent)
    expected = with_gradients(lambda gate, up: F.silu(gate) * up, gate * scale, up, sent=sent)
    for mine, plain in zip(actual, expected, strict=True):
        assert_close(mine, plain)


def test_swiglu_in_bfloat16_errs_no_more_than_the_plain_form():
    gate, up, sent = (normal(200, HIDDEN, seed=seed, dtype=torch.bfloat16) for seed in range(3))

    def plain(gate: Tensor, up: Tensor) -> Tensor:
        return F.silu(gate) * up

    exact = with_gradients(plain, gate.double(), up.double(), sent=sent.double())
    ours, rough = (with_gradients(form, gate, up, sent=sent) for form in (swiglu, plain))
    assert_errs_no_more(ours, rough, exact, factor=1.0)


@pytest.mark.parametrize("heads", [HEADS, 2, 1])
@pytest.mark.parametrize("strided", [False, True])
def test_rotate_equals_that_of_transformers(heads, strided):
    cos, sin = rotation()
    tables = rotary_table(cos, sin, HEADS)
    assert [table.shape for table in tables] == [(TOKENS, HEADS, HEAD_DIM)] * 2
    x, sent = (normal(TOKENS, heads, HEAD_DIM, seed=seed) for seed in (0, 2))
    if strided:  # as where several projections share their rows, and the gradient comes from heads first
        x = torch.cat((x, normal(TOKENS, 3, HEAD_DIM, seed=1)), dim=1)[:, :heads]
        sent = sent.transpose(0, 1).contiguous().transpose(0, 1)
        assert not x.is_contiguous()
    actual = with_gradients(lambda x: rotate(x, *tables), x, sent=sent)
    expected = with_gradients(lambda x: plain_rotate(x, cos, sin), x, sent=sent)
    for mine, plain in zip(actual, expected, strict=True):
        assert_close(mine, plain)


def test_rotate_in_bfloat16_errs_no_more_than_that_of_transformers():
    cos, sin = rotation(torch.bfloat16, tokens=200)
    x, sent = (normal(200, HEADS, HEAD_DIM, seed=seed, dtype=torch.bfloat16) for seed in (0, 2))
    ours = with_gradients(lambda x: rotate(x, *rotary_table(cos, sin, HEADS)), x, sent=sent)
    plain = with_gradients(lambda x: plain_rotate(x, cos, sin), x, sent=sent)
    exact = with_gradients(lambda x: plain_rotate(x, cos.double(), sin.double()), x.double(), sent=sent.double())
    assert_errs_no_more(ours, plain, exact, factor=1.0)


def test_the_gradients_are_those_of_finite_differences():
    gate, up = (normal(3, 5, seed=seed, dtype=torch.float64).requires_grad_() for seed in range(2))
    assert torch.autograd.gradcheck(swiglu, (gate, up))
    tables = rotary_table(*rotation(torch.float64), HEADS)
    x = normal(TOKENS, 2, HEAD_DIM, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rotate(x, *tables), (x,))


CASES: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "rms_norm": (lambda x: rms_norm(x, 1 + 0.3 * normal(HIDDEN, seed=8), EPS), [(TOKENS, HIDDEN)]),
    "swiglu": (swiglu, [(TOKENS, HIDDEN)] * 2),
    "rotate": (lambda x: rotate(x, *rotary_table(*rotation(), HEADS)), [(TOKENS, HEADS, HEAD_DIM)]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_row_that_is_not_a_number_spoils_no_other(name):
    function, shapes = CASES[name]
    inputs = [normal(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    sent = normal(*shapes[0], seed=5)
    healthy = with_gradients(function, *inputs, sent=sent)
    for index in range(len(inputs)):
        poisoned, poisoned_sent = [each.clone() for each in inputs], sent.clone()
        poisoned[index][1].view(-1)[3] = float("nan")
        poisoned_sent[4].view(-1)[3] = float("nan")
        output, *gradients = with_gradients(function, *poisoned, sent=poisoned_sent)
        assert output[1].isnan().any()
        assert all(gradient[4].isnan().any() for gradient in gradients)
        others = [row for row in range(TOKENS) if row not in (1, 4)]
        assert torch.equal(output[[*others, 4]], healthy[0][[*others, 4]])
        for mine, expected in zip(gradients, healthy[1:], strict=True):
            assert torch.equal(mine[others], expected[others])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_handed_in_stays_as_it_was(dtype):
    gate, up, sent = (normal(TOKENS, HIDDEN, seed=seed, dtype=dtype) for seed in range(3))
    weight = normal(HIDDEN, seed=3, dtype=dtype)
    x, sent_x = (normal(TOKENS, HEADS, HEAD_DIM, seed=seed, dtype=dtype) for seed in (4, 5))
    cos, sin = rotation(dtype)
    tables = rotary_table(cos, sin, HEADS)
    handed = [gate, up, sent, weight, x, sent_x, cos, sin, *tables]
    before = [each.clone() for each in handed]
    with_gradients(swiglu, gate, up, sent=sent)
    with_gradients(lambda x: rms_norm(x, weight, EPS), gate, sent=sent)
    with_gradients(lambda x: rotate(x, *tables), x, sent=sent_x)
    assert all(map(torch.equal, handed, before))
