"""The stacked linear layers against a loop of plain autograd LoRA, one member after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ensemble_uq_llm.models.frozen_linear import DenseLinear
from ensemble_uq_llm.models.lora.stacked import (
    ActivePass,
    LoraSpec,
    LoraStack,
    StackedLoraLinear,
    StackedProjection,
    draw_keep,
)
from ensemble_uq_llm.models.pack import Pack, Span, make_pack
from tiny_models import assert_close, random_sequences

CPU = torch.device("cpu")
MEMBERS, IN, OUT = 3, 24, 20
SCALING = 1.7
SEVERAL = {"outs": (OUT, 12, 28, 8), "adapted": (0, 2), "biased": (1, 2)}
"""Four layers: an adapter alone, a bias alone, both, neither."""


@dataclass
class Case:
    """Stacked layers, an input, perhaps a residual, and gradients of their outputs."""

    layer: StackedProjection
    pack: Pack
    spans: tuple[Span, ...]
    x_TI: Tensor
    residual_TO: Tensor | None = None
    grads_TO: tuple[Tensor, ...] = ()
    generators: list[Generator] | None = None

    def stacks(self) -> list[Tensor]:
        return [each for stack in self.layer.stacks for each in (stack.lora_a_MRI, stack.lora_b_MOR)]

    def outputs(self) -> tuple[Tensor, ...]:
        return self.layer(self.x_TI, self.spans, self.generators, self.residual_TO)

    def run(self) -> tuple[Tensor, ...]:
        """Return the outputs, and the gradients of x, of every A and B, and of the residual if there is one."""
        outputs = self.outputs()
        leaves = [self.x_TI, *self.stacks(), *([] if self.residual_TO is None else [self.residual_TO])]
        return *(output.detach() for output in outputs), *torch.autograd.grad(outputs, leaves, self.grads_TO)

    def seed_dropout(self) -> None:
        self.generators = [Generator().manual_seed(70 + member) for member in range(MEMBERS)]


def make_case(
    *,
    rank: int = 4,
    bias: bool = False,
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    present: tuple[int, ...] = (0, 1, 2),
    last_tokens: bool = False,
    residual: bool = False,
    outs: Sequence[int] = (OUT,),
    adapted: Sequence[int] = (0,),
    biased: Sequence[int] = (),
) -> Case:
    """Build layers whose weights do not depend on who is present, and neither do a present member's own rows."""
    generator = Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0, generator: Generator = generator) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    linears, stacks = [], []
    for index, out in enumerate(outs):
        base = nn.Linear(IN, out, bias=bias or index in biased, device="meta").to_empty(device="cpu")
        for parameter in base.requires_grad_(False).parameters():
            parameter.copy_(normal(*parameter.shape, scale=0.2 if parameter.dim() == 2 else 1.0))
        linears.append(DenseLinear(base.to(dtype)))
        own = LoraStack(linears[-1], members=MEMBERS, rank=rank, device=CPU) if index in adapted else None
        stacks.append(own)
        for parameter in () if stacks[-1] is None else stacks[-1].parameters():
            parameter.data = normal(*parameter.shape, scale=0.2)
    own_sequences = [(member, random_sequences(2 + member, seed=member, highest=9)) for member in present]
    pack = make_pack(own_sequences, device=CPU)
    layer = StackedProjection(linears, stacks, spec=LoraSpec(SCALING, dropout))
    case = Case(layer, pack, pack.sequence_spans if last_tokens else pack.token_spans, torch.empty(0))

    def rows(width: int, seed: int) -> Tensor:
        own = [Generator().manual_seed(100 * seed + span.member) for span in case.spans]
        sizes = [span.stop - span.start for span in case.spans]
        return torch.cat([normal(size, width, generator=each) for size, each in zip(sizes, own, strict=True)]).to(dtype)

    case.x_TI = rows(IN, 1).requires_grad_()
    case.residual_TO = rows(outs[0], 2).requires_grad_() if residual else None
    case.grads_TO = tuple(rows(out, 3 + index) for index, out in enumerate(outs))
    return case


def member_loop(case: Case, *, dtype: torch.dtype, keeps: dict[int, Tensor] | None = None) -> tuple[Tensor, ...]:
    """One layer as the LoRA paper writes it, in plain autograd and in `dtype`; the same results as `Case.run`."""
    (base,) = case.layer.linears
    x = case.x_TI.detach().to(dtype).requires_grad_()
    residual = None if case.residual_TO is None else case.residual_TO.detach().to(dtype).requires_grad_()
    a, b = (each.detach().clone().requires_grad_() for each in case.stacks())
    weight, bias = base.weight_OI.to(dtype), base.bias_O
    pieces = []
    for span in case.spans:
        own = x[span.start : span.stop]
        dropped = own if keeps is None else own * keeps[span.member] / (1 - case.layer.spec.dropout)
        lora = F.linear(F.linear(dropped, a[span.member].to(dtype)), b[span.member].to(dtype)) * SCALING
        pieces.append(F.linear(own, weight, None if bias is None else bias.to(dtype)) + lora)
    y = torch.cat(pieces) if residual is None else residual + torch.cat(pieces)
    leaves = (x, a, b) if residual is None else (x, a, b, residual)
    return y.detach(), *torch.autograd.grad(y, leaves, case.grads_TO[0].to(dtype))


def assert_all_close(actual: Sequence[Tensor], expected: Sequence[Tensor], *, relative: float = 1e-5) -> None:
    for mine, true in zip(actual, expected, strict=True):
        assert_close(mine, true, relative=relative)


@pytest.mark.parametrize("last_tokens", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 8, 16])
def test_equals_a_loop_of_plain_lora(rank, bias, last_tokens):
    case = make_case(rank=rank, bias=bias, last_tokens=last_tokens)
    lengths = case.pack.lengths
    assert len(case.x_TI) == (len(lengths) if last_tokens else sum(lengths))
    actual = case.run()
    assert {each.dtype for each in actual} == {torch.float32}
    assert_all_close(actual, member_loop(case, dtype=torch.float64))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("rank", [3, 8])
def test_bfloat16_errs_no_more_than_the_plain_form(rank, residual):
    case = make_case(rank=rank, bias=True, dtype=torch.bfloat16, residual=residual)
    exact = member_loop(case, dtype=torch.float64)
    plain = member_loop(case, dtype=torch.bfloat16)
    ours = case.run()
    assert [each.dtype for each in ours[:4]] == [torch.bfloat16, torch.bfloat16, torch.float32, torch.float32]
    for mine, rough, true in zip(ours[:4], plain[:4], exact[:4], strict=True):
        allowed = (rough.double() - true).pow(2).mean().sqrt()
        assert allowed > 0
        assert (mine.double() - true).pow(2).mean().sqrt() <= allowed


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_several_layers_equal_each_alone(dropout):
    case = make_case(**SEVERAL, dropout=dropout)
    case.seed_dropout()
    outputs = case.run()
    count = len(case.grads_TO)
    case.seed_dropout()  # the layers draw one after the other, so each alone draws the same
    expected_x, expected_stacks = torch.zeros_like(case.x_TI), []
    for index, (linear, sent) in enumerate(zip(case.layer.linears, case.grads_TO, strict=True)):
        stack = case.layer.stacks[case.layer.adapted.index(index)] if index in case.layer.adapted else None
        one = StackedProjection([linear], [stack], spec=case.layer.spec)
        y, grad_x, *grads = replace(case, layer=one, grads_TO=(sent,)).run()
        assert len(grads) == (0 if stack is None else 2)
        assert_close(outputs[index], y)
        expected_x += grad_x
        expected_stacks += grads
    assert_close(outputs[count], expected_x)
    assert_all_close(outputs[count + 1 :], expected_stacks)


@pytest.mark.parametrize("adapted", [(0,), ()], ids=["adapted", "plain"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_residual_is_added_to_the_first_output_and_gets_its_gradient(bias, adapted):
    settings = {"outs": (OUT, 12), "adapted": adapted, "bias": bias}
    without = make_case(**settings).run()
    case = make_case(**settings, residual=True)
    before = case.residual_TO.detach().clone()
    first, second, *grads, grad_residual = case.run()
    assert_close(first - without[0], before)
    assert torch.equal(second, without[1])
    assert all(map(torch.equal, grads, without[2:]))
    assert torch.equal(grad_residual, case.grads_TO[0])
    assert torch.equal(case.residual_TO, before), "the residual is the caller's"


def test_a_layer_whose_output_is_not_used_sends_nothing_back():
    case = make_case(**SEVERAL, residual=True)
    leaves = [case.x_TI, *case.stacks(), case.residual_TO]
    grads = torch.autograd.grad(case.outputs()[1], leaves, case.grads_TO[1])
    assert_close(grads[0], case.grads_TO[1] @ case.layer.linears[1].weight_OI)
    assert not any(grad.count_nonzero() for grad in grads[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_is_each_members_own_draw_and_the_same_in_the_backward(dtype):
    case = make_case(dropout=0.3, dtype=dtype)
    case.seed_dropout()
    keeps = {
        span.member: draw_keep(torch.empty(span.stop - span.start, IN), 0.3, Generator().manual_seed(70 + span.member))
        for span in case.spans
    }
    assert all(0.5 < keep.float().mean() < 0.9 for keep in keeps.values())
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    first = case.run()
    assert_all_close(first, member_loop(case, dtype=torch.float64, keeps=keeps), relative=tolerance)
    assert not torch.equal(case.run()[0], first[0]), "the next pass must draw anew"
    case.generators = None
    assert_all_close(case.run(), member_loop(case, dtype=torch.float64), relative=tolerance)


def test_what_a_member_draws_does_not_depend_on_its_company():
    company = make_case(**SEVERAL, dropout=0.3)
    company.seed_dropout()
    together = company.run()
    count = len(company.grads_TO)
    for span in company.spans:
        case = make_case(**SEVERAL, dropout=0.3, present=(span.member,))
        case.seed_dropout()
        rows = slice(span.start, span.stop)
        assert torch.equal(case.x_TI, company.x_TI[rows])
        alone = case.run()
        assert_all_close(alone[: count + 1], [each[rows] for each in together[: count + 1]])
        assert_all_close(*([each[span.member] for each in results[count + 1 :]] for results in (alone, together)))


@pytest.mark.parametrize("adapted", [(), (0,), (0, 2)], ids=str)
@pytest.mark.parametrize("residual", [False, True])
def test_the_input_is_kept_once_and_only_for_adapters(adapted, residual):
    case = make_case(**SEVERAL | {"adapted": adapted}, residual=residual)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        case.outputs()
    addresses = [each.untyped_storage().data_ptr() for each in kept]
    assert addresses.count(case.x_TI.untyped_storage().data_ptr()) == (1 if adapted else 0)
    parameters = {parameter.untyped_storage().data_ptr() for parameter in case.layer.parameters()}
    # Besides: the input, and for each adapter what its A made of it.
    assert len(set(addresses) - parameters) == (1 + len(adapted) if adapted else 0)


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
        getattr(case.layer.stacks[0], stack)[1, 2, 3] = poison
    poisoned = case.run()
    assert not poisoned[0].isfinite().all()
    others = [row for row in range(len(case.x_TI)) if not case.spans[1].start <= row < case.spans[1].stop]
    for actual, expected, kept in zip(poisoned, healthy, (others, others, [0, 2], [0, 2]), strict=True):
        assert torch.equal(actual[kept], expected[kept])


def test_a_member_that_is_absent_gets_zero_gradients():
    case = make_case(present=(0, 2))
    _, _, grad_a, grad_b = case.run()
    for grad in (grad_a, grad_b):
        assert [grad[member].count_nonzero().item() > 0 for member in range(MEMBERS)] == [True, False, True]
    assert_all_close(case.run(), member_loop(case, dtype=torch.float64))


def test_an_input_without_gradient_needs_none():
    case = make_case()
    _, _, *expected = case.run()
    actual = torch.autograd.grad(replace(case, x_TI=case.x_TI.detach()).outputs(), case.stacks(), case.grads_TO)
    assert all(map(torch.equal, actual, expected))


def test_one_layer_in_the_place_of_one_of_transformers():
    case = make_case(bias=True)
    (linear,), (stack,) = case.layer.linears, case.layer.stacks
    active = ActivePass()
    in_place = StackedLoraLinear(linear, stack, spec=case.layer.spec, active=active)
    with active.during(case.pack, None):
        y_1TO = in_place(case.x_TI[None])
    gradients = torch.autograd.grad(y_1TO, [case.x_TI, *case.stacks()], case.grads_TO[0][None])
    assert all(map(torch.equal, (y_1TO[0], *gradients), case.run()))


def test_a_layer_of_transformers_works_only_within_a_pass():
    case = make_case()
    (linear,), (stack,) = case.layer.linears, case.layer.stacks
    active = ActivePass()
    in_place = StackedLoraLinear(linear, stack, spec=case.layer.spec, active=active)
    with active.during(case.pack, None):
        in_place(case.x_TI[None])
    with pytest.raises(AssertionError, match="only inside StackedEnsemble"):
        in_place(case.x_TI[None])
