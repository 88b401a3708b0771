"""A layer's name is a claim: one that computes something else than its name says is left to transformers."""

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.llama import modeling_llama

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.layers.lean import LeanLayer, has_lean_form
from ensemble_uq_llm.models.layers.parity import can_be_lean
from ensemble_uq_llm.models.pack import make_pack
from tiny_models import (
    ALL_TARGETS,
    FAMILIES,
    assert_close,
    classified,
    peft_member,
    random_sequences,
    randomise,
    spec,
    tiny_config,
    tiny_decoder,
    tiny_llama,
)

LEAN = [family for family in FAMILIES if not family.startswith("gemma")]
WARNING = "model_name: LlamaDecoderLayer of this model does not compute what layers of this name do"


class LoudMLP(modeling_llama.LlamaMLP):
    """One per cent louder than its parent."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1.01


class LlamaDecoderLayer(modeling_llama.LlamaDecoderLayer):
    """Bears the name of a known layer."""


def lie(decoder: PreTrainedModel, *indices: int) -> PreTrainedModel:
    """Let these layers (default: all) compute something else under the old name."""
    for index in indices or range(len(decoder.layers)):
        decoder.layers[index].__class__ = LlamaDecoderLayer
        decoder.layers[index].mlp.__class__ = LoudMLP
    return decoder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", LEAN)
def test_honest_layers_are_lean(family, dtype):
    assert can_be_lean(tiny_decoder(tiny_config(family), dtype=dtype))


@pytest.mark.parametrize("family", ["gemma", "gemma2"])
def test_layers_of_another_form_are_left_alone_without_a_word(family):
    assert not can_be_lean(tiny_decoder(tiny_config(family)))


@pytest.mark.parametrize("lying", [(), (0,), (1,), (2,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lie_is_found_in_whichever_layer_it_is(dtype, lying):
    decoder = lie(tiny_llama(dtype=dtype, num_hidden_layers=3), *lying)
    assert all(map(has_lean_form, decoder.layers)), "the name alone would be believed"
    with pytest.warns(UserWarning, match=WARNING):
        assert not can_be_lean(decoder)


def test_a_model_that_lies_about_its_layers_answers_as_transformers_does():
    decoder = lie(tiny_llama())
    with pytest.warns(UserWarning, match=WARNING):
        ensemble = StackedEnsemble(decoder, spec=spec(decoder=decoder, targets=ALL_TARGETS), members=trained((1, 2)))
    randomise(ensemble)
    assert not any(isinstance(module, LeanLayer) for module in ensemble.modules())
    sequences = random_sequences(5, seed=2, highest=20)
    logits = ensemble(make_pack([(0, sequences), (1, sequences)], device=torch.device("cpu"))).detach().chunk(2)
    for member in range(2):
        alone = peft_member(tiny_llama(), ensemble, member, targets=ALL_TARGETS, rank=4, alpha=8)
        honest = classified(alone, sequences)
        lie(alone.base_model.model.model)
        assert_close(logits[member], classified(alone, sequences))
        assert (logits[member] - honest).abs().max() > 1e-4 * honest.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_comparing_changes_nothing_and_draws_nothing(dtype):
    decoder = tiny_llama(dtype=dtype)
    before = {name: (each.data_ptr(), each.dtype, each.clone()) for name, each in decoder.named_parameters()}
    state = torch.get_rng_state()
    can_be_lean(decoder)
    assert torch.equal(torch.get_rng_state(), state)
    for name, each in decoder.named_parameters():
        address, was, values = before[name]
        assert (each.data_ptr(), each.dtype) == (address, was)
        assert torch.equal(each, values)


def test_one_layer_of_each_kind_is_compared(monkeypatch):
    compared: list[int] = []
    decoder = tiny_decoder(tiny_config("qwen3-sliding", num_hidden_layers=6, max_window_layers=3))
    for index, layer in enumerate(decoder.layers):
        layer.register_forward_pre_hook(lambda *_, index=index: compared.append(index))
    assert can_be_lean(decoder)
    assert [decoder.config.layer_types[index] for index in compared] == ["full_attention", "sliding_attention"]
