"""The stacked linear layer against a loop of plain autograd LoRA, one member after the other."""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ensemble_uq_llm.models.pack import Span, make_pack
from ensemble_uq_llm.models.stacked_lora import ActivePass, LoraSpec, StackedHead, StackedLoraLinear, draw_keep
from tiny_models import assert_close, random_sequences

MEMBERS, IN, OUT = 3, 24, 20
SCALING = 1.7


@dataclass
class Case:
    """One stacked layer, an input, and a gradient of its output."""

    layer: StackedLoraLinear
    x_1TI: Tensor
    grad_1TO: Tensor

    @property
    def spans(self) -> tuple[Span, ...]:
        pack = self.layer.active.pack
        assert pack is not None
        return pack.sequence_spans if self.layer.last_tokens else pack.token_spans

    def run(self) -> tuple[Tensor, ...]:
        """Return the output and the gradients of x, A and B."""
        y = self.layer(self.x_1TI)
        leaves = (self.x_1TI, self.layer.lora_a_MRI, self.layer.lora_b_MOR)
        return y.detach(), *torch.autograd.grad(y, leaves, self.grad_1TO)


def make_case(
    *,
    rank: int = 4,
    bias: bool = False,
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    present: tuple[int, ...] = (0, 1, 2),
    last_tokens: bool = False,
) -> Case:
    generator = Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    base = nn.Linear(IN, OUT, bias=bias, device="meta").to_empty(device="cpu").requires_grad_(False)
    base.weight.copy_(normal(OUT, IN, scale=0.2))
    if bias:
        base.bias.copy_(normal(OUT))
    active = ActivePass()
    layer = StackedLoraLinear(
        base.to(dtype),
        members=MEMBERS,
        rank=rank,
        spec=LoraSpec(SCALING, dropout),
        active=active,
        last_tokens=last_tokens,
    )
    with torch.no_grad():
        layer.lora_a_MRI.copy_(normal(MEMBERS, rank, IN, scale=0.2))
        layer.lora_b_MOR.copy_(normal(MEMBERS, OUT, rank, scale=0.2))
    active.pack = make_pack(
        [(member, random_sequences(2 + member, seed=member, highest=9)) for member in present],
        device=torch.device("cpu"),
    )
    rows = len(active.pack.lengths) if last_tokens else sum(active.pack.lengths)
    x = normal(1, rows, IN).to(dtype).requires_grad_()
    return Case(layer=layer, x_1TI=x, grad_1TO=normal(1, rows, OUT).to(dtype))


def member_loop(case: Case, *, dtype: torch.dtype, keeps: dict[int, Tensor] | None = None) -> tuple[Tensor, ...]:
    """LoRA as the paper writes it, in plain autograd and in `dtype` throughout; the same results as `Case.run`."""
    layer = case.layer
    x = case.x_1TI.detach().to(dtype).requires_grad_()
    a, b = (each.detach().clone().requires_grad_() for each in (layer.lora_a_MRI, layer.lora_b_MOR))
    weight, bias = layer.base.weight.to(dtype), layer.base.bias
    pieces = []
    for span in case.spans:
        own = x[:, span.start : span.stop]
        dropped = own if keeps is None else own * keeps[span.member] / (1 - layer.spec.dropout)
        down = F.linear(dropped, a[span.member].to(dtype))
        lora = F.linear(down, b[span.member].to(dtype)) * SCALING
        pieces.append(F.linear(own, weight, None if bias is None else bias.to(dtype)) + lora)
    y = torch.cat(pieces, dim=1)
    return y.detach(), *torch.autograd.grad(y, (x, a, b), case.grad_1TO.to(dtype))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 8, 16])
def test_equals_a_loop_of_plain_lora(rank, bias):
    case = make_case(rank=rank, bias=bias)
    for actual, expected in zip(case.run(), member_loop(case, dtype=torch.float64), strict=True):
        assert actual.dtype == torch.float32
        assert_close(actual, expected)


def test_the_rows_of_last_tokens_are_sequences():
    case = make_case(last_tokens=True)
    for actual, expected in zip(case.run(), member_loop(case, dtype=torch.float64), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("rank", [3, 8])
def test_bfloat16_errs_no_more_than_the_plain_form(rank):
    case = make_case(rank=rank, bias=True, dtype=torch.bfloat16)
    exact = member_loop(case, dtype=torch.float64)
    plain = member_loop(case, dtype=torch.bfloat16)
    ours = case.run()
    assert [each.dtype for each in ours] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
    for mine, rough, true in zip(ours, plain, exact, strict=True):
        allowed = (rough.double() - true).pow(2).mean().sqrt()
        assert allowed > 0
        assert (mine.double() - true).pow(2).mean().sqrt() <= allowed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_is_each_members_own_draw(dtype):
    case = make_case(dropout=0.3, dtype=dtype)
    case.layer.active.dropout_generators = [Generator().manual_seed(70 + member) for member in range(MEMBERS)]
    keeps = {
        span.member: draw_keep(torch.empty(span.stop - span.start, IN), 0.3, Generator().manual_seed(70 + span.member))
        for span in case.spans
    }
    assert all(0.5 < keep.float().mean() < 0.9 for keep in keeps.values())
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    first = case.run()
    for actual, expected in zip(first, member_loop(case, dtype=torch.float64, keeps=keeps), strict=True):
        assert_close(actual, expected, relative=tolerance)
    assert not torch.equal(case.run()[0], first[0]), "the next pass must draw anew"
    case.layer.active.dropout_generators = None
    for actual, expected in zip(case.run(), member_loop(case, dtype=torch.float64), strict=True):
        assert_close(actual, expected, relative=tolerance)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.999])
def test_entries_are_dropped_independently_with_the_given_probability(dropout):
    shape = (200, 503)
    first, second = (draw_keep(torch.empty(shape), dropout, Generator().manual_seed(seed)) for seed in (1, 2))
    assert {*first.unique().tolist()} <= {0.0, 1.0}
    sigma = (dropout * (1 - dropout) / first.numel()) ** 0.5
    for keep in (first, second, first[:, ::4], first[:, 1::4], first[:, 3::4]):
        assert abs(keep.mean().item() - (1 - dropout)) <= 8 * sigma + 2**-17
    for left, right in ((first, second), (first[:, :-1], first[:, 1:]), (first[:-1], first[1:])):
        both = (left * right).mean().item()
        assert abs(both - (1 - dropout) ** 2) <= 8 * sigma + 2**-16


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("stack", ["lora_a_MRI", "lora_b_MOR"])
def test_a_poisoned_member_leaves_the_others_bit_equal(stack, poison):
    healthy = make_case().run()
    case = make_case()
    with torch.no_grad():
        getattr(case.layer, stack)[1, 2, 3] = poison
    y, grad_x, grad_a, grad_b = case.run()
    assert not y.isfinite().all()
    others = torch.ones(y.shape[1], dtype=torch.bool)
    others[case.spans[1].start : case.spans[1].stop] = False
    for actual, expected in zip((y, grad_x), healthy[:2], strict=True):
        assert torch.equal(actual[:, others], expected[:, others])
    for actual, expected in zip((grad_a, grad_b), healthy[2:], strict=True):
        assert torch.equal(actual[[0, 2]], expected[[0, 2]])


def test_a_member_that_is_absent_gets_zero_gradients():
    case = make_case(present=(0, 2))
    _, _, grad_a, grad_b = case.run()
    for grad in (grad_a, grad_b):
        assert grad[1].count_nonzero() == 0
        assert grad[0].count_nonzero() > 0
        assert grad[2].count_nonzero() > 0
    for actual, expected in zip(case.run(), member_loop(case, dtype=torch.float64), strict=True):
        assert_close(actual, expected)


def test_an_input_without_gradient_needs_none():
    case = make_case()
    _, _, *expected = case.run()
    y = case.layer(case.x_1TI.detach())
    actual = torch.autograd.grad(y, (case.layer.lora_a_MRI, case.layer.lora_b_MOR), case.grad_1TO)
    assert all(map(torch.equal, actual, expected))


def test_the_head_scores_each_sequence_with_its_own_member():
    head = StackedHead(members=MEMBERS, classes=4, hidden=IN, device=torch.device("cpu"))
    nn.init.normal_(head.weight_MCH, generator=Generator().manual_seed(1))
    hidden = torch.randn(5, IN, generator=Generator().manual_seed(2)).bfloat16()
    scores = head(hidden, [Span(2, 0, 3), Span(0, 3, 5)])
    assert scores.dtype == torch.float32
    expected = [head.weight_MCH[member] @ row for member, row in zip((2, 2, 2, 0, 0), hidden.float(), strict=True)]
    assert_close(scores.detach(), torch.stack(expected).detach())
