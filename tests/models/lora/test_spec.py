"""Which linear layers are adapted, and what is said about models and names that cannot be."""

import pytest
import torch
import transformers
from torch import nn

from ensemble_uq_llm.errors import ConfigError, ModelError
from ensemble_uq_llm.models.lora.spec import LoraSettings, adapted_modules, decoder_layers, spec_of
from tiny_models import ALL_TARGETS, FAMILIES, tiny_config, tiny_decoder, tiny_llama


def skeleton(config: transformers.PreTrainedConfig) -> nn.Module:
    with torch.device("meta"):
        return transformers.AutoModel.from_config(config)


def test_settings_become_a_spec():
    settings = LoraSettings(rank=4, alpha=6, dropout=0.25, targets=("v_proj", "up_proj"))
    spec = spec_of(settings, tiny_llama(), classes=3)
    assert (spec.rank, spec.scaling, spec.dropout, spec.classes) == (4, 1.5, 0.25, 3)
    assert set(spec.modules) == {f"layers.{i}.{name}" for i in (0, 1) for name in ("self_attn.v_proj", "mlp.up_proj")}


@pytest.mark.parametrize("family", FAMILIES)
def test_all_seven_targets_are_all_linear_layers(family):
    decoder = tiny_decoder(tiny_config(family))
    linear = {name for name, module in decoder.named_modules() if isinstance(module, nn.Linear)}
    names = adapted_modules(decoder, ALL_TARGETS, None)
    assert set(names) == linear
    assert len(names) == len(linear) == 7 * len(decoder.layers)


def test_only_the_chosen_layers_are_adapted():
    decoder = tiny_llama(num_hidden_layers=4)
    assert adapted_modules(decoder, ["k_proj"], [3, 1]) == ("layers.1.self_attn.k_proj", "layers.3.self_attn.k_proj")


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"lora_layers: \[2, 9\] asked for, and the model has layers 0 to 1"):
        adapted_modules(tiny_llama(), ["q_proj"], [0, 2, 9])


def test_a_target_that_is_not_there_is_named_beside_what_is():
    phi3 = skeleton(transformers.Phi3Config(num_hidden_layers=1, pad_token_id=0))
    message = (
        r"lora_target_modules: q_proj, v_proj not found in Phi3Model, "
        r"whose layers have down_proj, gate_up_proj, o_proj, qkv_proj"
    )
    with pytest.raises(ConfigError, match=message):
        adapted_modules(phi3, ["q_proj", "o_proj", "v_proj"], None)


@pytest.mark.parametrize(
    "config",
    [
        transformers.GPT2Config(n_layer=1),
        transformers.BertConfig(num_hidden_layers=1),
        transformers.OPTConfig(num_hidden_layers=1),
        transformers.MambaConfig(num_hidden_layers=1),
    ],
    ids=lambda config: config.model_type,
)
def test_other_architectures_are_refused(config):
    model = skeleton(config)
    message = rf"model_name: {type(model).__name__} is not a decoder of the LLaMA kind \(Llama, Mistral.*name one"
    with pytest.raises(ModelError, match=message):
        decoder_layers(model)
