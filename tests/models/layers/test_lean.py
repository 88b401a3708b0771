"""The lean layers against transformers' own, eager, of one sequence after the other; and inside an ensemble."""

import copy
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models import ensemble as ensemble_module
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.frozen_linear import DenseLinear
from ensemble_uq_llm.models.layers.lean import LEAN_LAYERS, LeanLastLayer, LeanLayer, has_lean_form
from ensemble_uq_llm.models.layers.ops import rotary_table
from ensemble_uq_llm.models.lora.stacked import LoraSpec, LoraStack
from ensemble_uq_llm.models.pack import Pack, make_pack
from tiny_models import (
    ALL_TARGETS,
    FAMILIES,
    SHAPE,
    assert_close,
    classified,
    peft_member,
    random_sequences,
    randomise,
    spec,
    tiny_config,
    tiny_decoder,
    tiny_ensemble,
)

LEAN = [family for family in FAMILIES if not family.startswith("gemma")]
MEMBERS, RANK, SCALING = 3, 3, 1.7
CPU = torch.device("cpu")


class PlainLora(nn.Module):
    """One member's LoRA as the paper writes it, in the dtype of its input."""

    def __init__(self, base: nn.Module, stack: LoraStack, member: int) -> None:
        super().__init__()
        self.base, self.stack, self.member = base, stack, member

    def forward(self, x: Tensor) -> Tensor:
        a, b = (each[self.member].to(x.dtype) for each in (self.stack.lora_a_MRI, self.stack.lora_b_MOR))
        return self.base(x) + F.linear(F.linear(x, a), b) * SCALING


def three_members_pack() -> Pack:
    own = {member: random_sequences(3, seed=member, lowest=6, highest=17) for member in range(MEMBERS)}
    own[0][0] = own[0][0][:1]
    return make_pack(list(own.items()), device=CPU)


def random_stacks(layer: nn.Module) -> dict[str, LoraStack]:
    """Return adapters on all seven linear layers, by name."""
    generator = Generator().manual_seed(3)
    stacks = {}
    for name, linear in layer.named_modules():
        if isinstance(linear, nn.Linear):
            stacks[name] = LoraStack(DenseLinear(linear), members=MEMBERS, rank=RANK, device=CPU)
            for parameter in stacks[name].parameters():
                nn.init.normal_(parameter, std=0.1, generator=generator)
    assert len(stacks) == len(ALL_TARGETS)
    return stacks


def leaves_of(hidden: Tensor, stacks: Mapping[str, LoraStack]) -> list[Tensor]:
    return [hidden, *(parameter for stack in stacks.values() for parameter in stack.parameters())]


def random_rows(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed)).to(dtype)


def lean(
    decoder: PreTrainedModel, index: int, hidden: Tensor, pack: Pack, stacks: Mapping[str, LoraStack], kind=LeanLayer
) -> Tensor:
    layer = kind(decoder.layers[index], stacks, spec=LoraSpec(SCALING, 0.0))
    cos_1TD, sin_1TD = decoder.rotary_emb(hidden, pack.positions_T[None])
    return layer(hidden[0], pack, rotary_table(cos_1TD[0], sin_1TD[0], layer.query_heads), None)[None]


def plain(decoder: PreTrainedModel, index: int, hidden: Tensor, pack: Pack, stacks: Mapping[str, LoraStack]) -> Tensor:
    """Run transformers' layer on each sequence alone, in the dtype of `hidden`."""
    window = window_of(decoder, index)
    outputs = []
    for span in pack.sequence_spans:
        layer = copy.deepcopy(decoder.layers[index]).to(hidden.dtype)
        for name, stack in stacks.items():
            path, _, leaf = name.rpartition(".")
            setattr(layer.get_submodule(path), leaf, PlainLora(layer.get_submodule(name), stack, span.member))
        for sequence in range(span.start, span.stop):
            start, stop = pack.offsets_B1[sequence : sequence + 2].tolist()
            rows = hidden[:, start:stop]
            age = torch.arange(stop - start)[:, None] - torch.arange(stop - start)
            hides = (age < 0) | (age >= (window or stop))
            mask = torch.zeros(age.shape, dtype=hidden.dtype).masked_fill(hides, torch.finfo(hidden.dtype).min)
            rotary = decoder.rotary_emb(rows, pack.positions_T[None, start:stop])
            outputs.append(layer(rows, attention_mask=mask[None, None], position_embeddings=rotary))
    return torch.cat(outputs, dim=1)


def window_of(decoder: PreTrainedModel, index: int) -> int | None:
    config = decoder.config
    if config.model_type == "llama":
        return None
    kinds = getattr(config, "layer_types", None)
    return config.sliding_window if kinds is None or kinds[index] == "sliding_attention" else None


def test_some_layers_here_have_windows_and_others_none():
    decoders = {family: tiny_decoder(tiny_config(family)) for family in LEAN}
    windows = {family: [window_of(each, i) for i in range(len(each.layers))] for family, each in decoders.items()}
    assert windows["mistral"] == [5, 5]
    assert windows["qwen2-sliding"] == windows["qwen3-sliding"] == [None, 5]
    assert windows["llama"] == windows["qwen2"] == windows["qwen3"] == [None, None]


@pytest.mark.parametrize("adapted", [False, True], ids=["plain", "adapted"])
@pytest.mark.parametrize("family", LEAN)
def test_equals_the_layer_of_transformers(family, adapted):
    decoder = tiny_decoder(tiny_config(family), attention="eager")
    pack = three_members_pack()
    for index, layer in enumerate(decoder.layers):
        stacks = random_stacks(layer) if adapted else {}
        hidden = random_rows(1, sum(pack.lengths), SHAPE["hidden_size"], seed=4, dtype=torch.float32).requires_grad_()
        sent = random_rows(*hidden.shape, seed=5, dtype=torch.float32)
        actual, expected = (form(decoder, index, hidden, pack, stacks) for form in (lean, plain))
        assert_close(actual.detach(), expected.detach())
        leaves = leaves_of(hidden, stacks)
        gradients = [torch.autograd.grad(output, leaves, sent) for output in (actual, expected)]
        assert len(gradients[0]) == (15 if adapted else 1)
        for mine, theirs in zip(*gradients, strict=True):
            assert_close(mine, theirs)


@pytest.mark.parametrize("adapted", [False, True], ids=["plain", "adapted"])
@pytest.mark.parametrize("family", LEAN)
def test_the_last_layer_equals_the_rows_of_the_last_tokens(family, adapted):
    decoder = tiny_decoder(tiny_config(family))
    pack = three_members_pack()
    for index, layer in enumerate(decoder.layers):
        stacks = random_stacks(layer) if adapted else {}
        hidden = random_rows(1, sum(pack.lengths), SHAPE["hidden_size"], seed=4, dtype=torch.float32).requires_grad_()
        actual = lean(decoder, index, hidden, pack, stacks, LeanLastLayer)
        expected = lean(decoder, index, hidden, pack, stacks)[:, pack.last_B]
        assert_close(actual.detach(), expected.detach())
        sent = random_rows(*actual.shape, seed=5, dtype=torch.float32)
        leaves = leaves_of(hidden, stacks)
        gradients = [torch.autograd.grad(output, leaves, sent) for output in (actual, expected)]
        for mine, theirs in zip(*gradients, strict=True):
            assert_close(mine, theirs)


@pytest.mark.parametrize("adapted", [False, True], ids=["plain", "adapted"])
@pytest.mark.parametrize("family", LEAN)
def test_bfloat16_errs_no_more_than_transformers(family, adapted):
    decoder = tiny_decoder(tiny_config(family), attention="eager", dtype=torch.bfloat16)
    pack = three_members_pack()
    stacks = random_stacks(decoder.layers[-1]) if adapted else {}
    errors: dict[str, list[Tensor]] = {"lean": [], "plain": []}
    for seed in range(4):  # several inputs: the error is a mean, and must not turn on one rounding
        rows = random_rows(1, sum(pack.lengths), SHAPE["hidden_size"], seed=seed, dtype=torch.bfloat16)
        sent = random_rows(*rows.shape, seed=10 + seed, dtype=torch.bfloat16)
        results = {}
        for name, form, dtype in (
            ("lean", lean, torch.bfloat16),
            ("plain", plain, torch.bfloat16),
            ("exact", plain, torch.float64),
        ):
            hidden = rows.to(dtype).requires_grad_()
            output = form(decoder, len(decoder.layers) - 1, hidden, pack, stacks)
            assert output.dtype == dtype
            results[name] = (output.detach(), *torch.autograd.grad(output, hidden, sent.to(dtype)))
        for name, of_form in errors.items():
            pairs = zip(results[name], results["exact"], strict=True)
            of_form.append(torch.stack([(mine.double() - true).abs().mean() for mine, true in pairs]))
    (ours, ours_grad), (theirs, theirs_grad) = (torch.stack(errors[name]).mean(0).tolist() for name in errors)
    assert 0 < ours <= theirs
    assert 0 < ours_grad <= theirs_grad


def logits_and_gradients(ensemble: StackedEnsemble) -> dict[str, Tensor]:
    logits = ensemble(three_members_pack())
    sent = torch.randn(logits.shape, generator=Generator().manual_seed(5))
    gradients = torch.autograd.grad(logits, ensemble.trainable(), sent)
    names = [name for name, _ in ensemble.named_stacks()]
    return {"logits": logits.detach()} | dict(zip(names, gradients, strict=True))


@pytest.mark.parametrize("family", LEAN)
def test_an_ensemble_equals_the_one_that_runs_layers_of_transformers(family, monkeypatch):
    short = tiny_ensemble(family, targets=ALL_TARGETS)
    *others, last = short.decoder.layers
    assert type(last) is LeanLastLayer
    assert all(type(layer) is LeanLayer for layer in others)
    monkeypatch.setattr(ensemble_module, "can_be_lean", lambda decoder: False)
    whole = tiny_ensemble(family, targets=ALL_TARGETS)
    assert not any(isinstance(module, LeanLayer) for module in whole.modules())
    actual, expected = logits_and_gradients(short), logits_and_gradients(whole)
    assert actual.keys() == expected.keys()
    assert sum(f"layers.{len(others)}." in name for name in actual) == 2 * len(ALL_TARGETS)
    for name in expected:
        assert_close(actual[name], expected[name])


def test_only_layers_of_the_known_form_are_lean():
    layers = {family: tiny_decoder(tiny_config(family)).layers for family in FAMILIES}
    assert {type(layers[family][-1]).__name__ for family in LEAN} == set(LEAN_LAYERS)
    for family, own in layers.items():
        assert [has_lean_form(layer) for layer in own] == [family in LEAN] * len(own)
    assert not has_lean_form(nn.Identity())


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_pytorch_tanh"])
def test_another_activation_is_not_lean(activation):
    assert not any(map(has_lean_form, tiny_decoder(tiny_config("llama", hidden_act=activation)).layers))


@pytest.mark.parametrize(
    ("family", "overrides"), [("gemma", {}), ("gemma2", {}), ("llama", {"hidden_act": "gelu"})], ids=str
)
def test_a_model_of_another_form_works_all_the_same(family, overrides):
    config = tiny_config(family, **overrides)
    decoder = tiny_decoder(config)
    ensemble = StackedEnsemble(decoder, spec=spec(decoder=decoder, targets=ALL_TARGETS), members=trained((1, 2)))
    randomise(ensemble)
    assert not any(isinstance(module, LeanLayer) for module in ensemble.modules())
    sequences = random_sequences(5, seed=2, highest=20)
    logits = ensemble(make_pack([(0, sequences), (1, sequences)], device=CPU)).detach().chunk(2)
    for member in range(2):
        alone = peft_member(tiny_decoder(config), ensemble, member, targets=ALL_TARGETS, rank=4, alpha=8)
        assert_close(logits[member], classified(alone, sequences))
