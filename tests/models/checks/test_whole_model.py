"""A base in packs against transformers: types outside the table are compared, and what differs is refused."""

import copy
import re

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModel, PreTrainedModel

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.base import load_decoder, load_skeleton
from ensemble_uq_llm.models.checks.whole_model import check_parity, check_runs
from tiny_models import SHAPE, tiny_config, tiny_decoder

CPU = torch.device("cpu")
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
EQUAL = {"mixtral": EXPERTS, "qwen3_moe": EXPERTS | {"head_dim": 8}, "diffllama": {}}
"""Types outside the table that compute the same in packs."""

LEAKING = {"doge": {}, "gpt_oss": EXPERTS, "falcon": {}, "bloom": {}, "mpt": {}, "jamba": {}, "mamba": {}}
FAILING = {"stablelm": {}, "nemotron": {}, "deepseek_v3": {}}


def made(kind: str, more: dict) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = CONFIG_MAPPING[kind](**SHAPE | more)
        model = AutoModel.from_config(settings, attn_implementation="eager", dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2 if parameter.dim() == 1 else 0.0)
    if kind not in ("mamba", "falcon", "bloom", "mpt"):
        model.set_attn_implementation(PACKED_ATTENTION)
    return model


@pytest.mark.parametrize("family", ["llama", "gemma2", "olmo3"])
def test_a_model_of_the_table_passes(family):
    check_runs(tiny_decoder(tiny_config(family)))
    check_parity(tiny_decoder(tiny_config(family)))


@pytest.mark.parametrize("kind", EQUAL)
def test_another_type_that_computes_the_same_is_loaded_if_that_is_allowed(tmp_path, kind):
    made(kind, EQUAL[kind]).to(torch.bfloat16).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"model_name: {kind} is not among the model types"):
        load_decoder(tmp_path, device=CPU, bf16=True)
    with pytest.raises(ModelError, match=f"model_name: {kind} is not among the model types"):
        load_skeleton(tmp_path, bf16=True)
    load_skeleton(tmp_path, bf16=True, allow_unproven=True)
    decoder = load_decoder(tmp_path, device=CPU, bf16=True, allow_unproven=True)
    assert decoder.config._attn_implementation == PACKED_ATTENTION
    assert {each.dtype for each in decoder.parameters()} == {torch.bfloat16}


def test_the_comparison_leaves_the_model_as_it_was():
    decoder = tiny_decoder(tiny_config("olmo2"), dtype=torch.bfloat16)
    before = copy.deepcopy(decoder.state_dict())
    check_parity(decoder)
    assert all(torch.equal(each, before[name]) for name, each in decoder.state_dict().items())
    assert {each.dtype for each in decoder.parameters()} == {torch.bfloat16}
    assert decoder.config._attn_implementation == PACKED_ATTENTION


@pytest.mark.parametrize("kind", LEAKING)
def test_what_computes_something_else_in_packs_is_found_out(kind):
    with pytest.raises(ModelError, match=rf"model_name: {kind} \(\w+\) (computes something else in packs|cannot be )"):
        check_parity(made(kind, LEAKING[kind]))


@pytest.mark.parametrize("kind", FAILING)
def test_what_fails_in_packs_is_named(kind):
    with pytest.raises(ModelError, match=rf"model_name: {kind} \(\w+\) cannot be compared with transformers \("):
        check_parity(made(kind, FAILING[kind]))
    with pytest.raises(
        ModelError, match=rf"model_name: {kind} \(\w+\) cannot be run; do the sizes in its config\.json"
    ):
        check_runs(made(kind, FAILING[kind]))


def test_memory_that_runs_out_is_not_the_models_fault(monkeypatch):
    decoder = tiny_decoder(tiny_config())
    monkeypatch.setattr(decoder, "forward", lambda **_: (_ for _ in ()).throw(MemoryError("too little")))
    with pytest.raises(MemoryError, match=re.escape("too little")):
        check_runs(decoder)
