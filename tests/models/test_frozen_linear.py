"""The two products of a frozen linear layer, and a second kind of it: int8 weights that are dequantised a product."""

import copy
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.frozen_linear import DenseLinear, FrozenLinear, frozen_linear, is_linear
from ensemble_uq_llm.models.layers.lean import LeanLayer
from ensemble_uq_llm.models.lora.stacked import LoraSpec, LoraStack, StackedProjection
from ensemble_uq_llm.models.pack import Span, make_pack
from tiny_models import ALL_TARGETS, assert_close, random_sequences, randomise, spec, tiny_config, tiny_decoder

CPU = torch.device("cpu")
IN, OUT, ROWS, MEMBERS = 24, 20, 11, 2


class Int8Linear(FrozenLinear):
    """Weights as int8 with one scale a row; it remembers which dense copies it made, but does not hold them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(in_features=linear.in_features, out_features=linear.out_features)
        scale_O1 = linear.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("scale_O1", scale_O1)
        self.register_buffer("codes_OI", (linear.weight.detach() / scale_O1).round().to(torch.int8))
        self.bias_O = linear.bias
        self.copies: list[weakref.ref] = []

    def dense(self) -> Tensor:
        weight_OI = self.codes_OI.to(self.scale_O1.dtype) * self.scale_O1
        self.copies.append(weakref.ref(weight_OI))
        return weight_OI

    def product(self, x_TI: Tensor, residual_TO: Tensor | None = None) -> Tensor:
        y_TO = F.linear(x_TI, self.dense(), self.bias_O)
        return y_TO if residual_TO is None else y_TO + residual_TO

    def product_backward(self, grad_TO: Tensor, grad_TI: Tensor | None = None) -> Tensor:
        product_TI = grad_TO @ self.dense()
        return product_TI if grad_TI is None else grad_TI.add_(product_TI)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def plain_linear(*, bias: bool = True, seed: int = 0) -> nn.Linear:
    linear = nn.Linear(IN, OUT, bias=bias, device="meta").to_empty(device="cpu").requires_grad_(False)
    for index, parameter in enumerate(linear.parameters()):
        parameter.copy_(normal(*parameter.shape, seed=10 * seed + index))
    return linear


def dequantised(linear: nn.Linear) -> nn.Linear:
    """Return the dense layer with the weights that the int8 layer has."""
    dense = copy.deepcopy(linear)
    dense.weight.copy_(Int8Linear(linear).dense())
    return dense


@pytest.mark.parametrize("kind", [DenseLinear, Int8Linear])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("with_residual", [False, True])
def test_the_products_are_those_of_autograd(kind, bias, with_residual):
    linear = plain_linear(bias=bias)
    frozen = kind(linear)
    reference = linear if kind is DenseLinear else dequantised(linear)
    x = normal(ROWS, IN, seed=1).requires_grad_()
    residual = normal(ROWS, OUT, seed=2) if with_residual else None
    before = None if residual is None else residual.clone()
    expected = reference(x) if residual is None else reference(x) + residual
    assert_close(frozen.product(x.detach(), residual), expected.detach())
    assert residual is None or torch.equal(residual, before), "the residual is the caller's"
    sent, others = normal(ROWS, OUT, seed=3), normal(ROWS, IN, seed=4)
    (grad,) = torch.autograd.grad(expected, x, sent)
    assert_close(frozen.product_backward(sent), grad)
    added_to = others.clone()
    assert_close(frozen.product_backward(sent, added_to), others + grad)
    assert_close(added_to, others + grad)


def test_a_dense_layer_works_on_the_tensors_that_are_there():
    linear = plain_linear()
    assert {id(each) for each in DenseLinear(linear).parameters()} == {id(linear.weight), id(linear.bias)}


def test_it_stands_in_the_place_of_a_linear_layer():
    linear = plain_linear()
    x, sent = normal(2, 3, IN, seed=1).requires_grad_(), normal(2, 3, OUT, seed=2)
    ours, plain = (form(x) for form in (Int8Linear(linear), dequantised(linear)))
    assert_close(ours.detach(), plain.detach())
    assert_close(*(torch.autograd.grad(output, x, sent)[0] for output in (ours, plain)))


def test_layers_are_found_by_name_and_a_frozen_one_stays_itself():
    block = nn.Sequential(plain_linear(), Int8Linear(plain_linear()), nn.SiLU())
    assert isinstance(frozen_linear(block, "0"), DenseLinear)
    assert frozen_linear(block, "1") is block[1]
    assert [is_linear(module) for module in block] == [True, True, False]
    with pytest.raises(AssertionError, match="2 is a SiLU, and only linear layers are adapted"):
        frozen_linear(block, "2")


def with_gradients(linears: list[FrozenLinear], dropout: float) -> list[Tensor]:
    """Return what a projection of these layers, the first and last adapted, makes of a residual and fixed rows."""
    stacks = [LoraStack(linears[0], members=MEMBERS, rank=3, device=CPU) for _ in linears]
    for index, parameter in enumerate(parameter for stack in stacks for parameter in stack.parameters()):
        parameter.data = normal(*parameter.shape, seed=50 + index)
    stacks[1] = None
    projection = StackedProjection(linears, stacks, spec=LoraSpec(1.7, dropout))
    spans = (Span(0, 0, 4), Span(1, 4, ROWS))
    x, residual = normal(ROWS, IN, seed=1).requires_grad_(), normal(ROWS, OUT, seed=2).requires_grad_()
    generators = [Generator().manual_seed(member) for member in range(MEMBERS)]
    outputs = projection(x, spans, generators, residual)
    for linear in linears:
        assert not any(each() is not None for each in getattr(linear, "copies", [])), "a dense copy lives on"
    leaves = [x, residual, *projection.stacks.parameters()]
    return [*outputs, *torch.autograd.grad(outputs, leaves, [normal(ROWS, OUT, seed=3 + i) for i in range(3)])]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_int8_weights_under_adapters_equal_their_dense_form_and_none_is_kept(dropout):
    plain = [plain_linear(seed=seed, bias=seed != 1) for seed in range(3)]
    int8 = [Int8Linear(linear) for linear in plain]
    actual = with_gradients(int8, dropout)
    expected = with_gradients([DenseLinear(dequantised(linear)) for linear in plain], dropout)
    assert [len(linear.copies) for linear in int8] == [2, 2, 2], "one for the product, one for its backward"
    for mine, dense in zip(actual, expected, strict=True):
        assert_close(mine.detach(), dense.detach())


def ensemble_over(family: str, form) -> StackedEnsemble:
    """Return members over a decoder whose linear layers have all been put into another form."""
    decoder = tiny_decoder(tiny_config(family))
    for name, linear in list(decoder.named_modules()):
        if isinstance(linear, nn.Linear):
            path, _, leaf = name.rpartition(".")
            setattr(decoder.get_submodule(path), leaf, form(linear))
    adapted = spec(decoder=decoder, targets=("k_proj", "v_proj", "up_proj"))
    return randomise(StackedEnsemble(decoder, spec=adapted, members=trained((1, 2))))


@pytest.mark.parametrize(
    ("family", "lean"), [("llama", True), ("llama-biased", True), ("qwen3", True), ("gemma", False)]
)
def test_an_ensemble_over_int8_weights_equals_the_one_over_their_dense_form(family, lean):
    results = []
    for form in (Int8Linear, dequantised):
        ensemble = ensemble_over(family, form)
        assert isinstance(ensemble.decoder.layers[0], LeanLayer) == (family != "gemma")
        held = [each for each in ensemble.modules() if isinstance(each, Int8Linear)]
        assert len(held) == (2 * len(ALL_TARGETS) if form is Int8Linear else 0)
        pack = make_pack([(member, random_sequences(3, seed=4)) for member in range(2)], device=CPU)
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda each, kept=kept: kept.append(each) or each, lambda x: x):
            logits = ensemble(pack)
        assert not any(copy() is not None for each in held for copy in each.copies), "a dense copy lives on"
        codes = {each.codes_OI.shape for each in held}
        assert not any(each.shape in codes for each in kept), "a tensor of the weights' shape is kept"
        sent = normal(*logits.shape, seed=5)
        results.append([logits.detach(), *torch.autograd.grad(logits, ensemble.trainable(), sent)])
    for mine, dense in zip(*results, strict=True):
        assert_close(mine, dense)
