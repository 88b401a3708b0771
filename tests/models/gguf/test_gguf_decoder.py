"""A GGUF file's decoder is the model that it was made from, and the dequantised model in a folder."""

import dataclasses

import pytest
import torch
from transformers import AutoConfig, AutoModel

from ensemble_uq_llm.models.base import find_base, load_decoder, load_tokenizer
from ensemble_uq_llm.models.checks.families import PROVEN
from ensemble_uq_llm.models.gguf import gguf_decoder
from ensemble_uq_llm.models.gguf.gguf_architectures import ARCHITECTURES
from ensemble_uq_llm.models.gguf.gguf_header import read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_rows import GgufRows
from ensemble_uq_llm.models.gguf.gguf_settings import gguf_settings
from ensemble_uq_llm.models.heads.lm_head import LmHead
from tiny_gguf import model_keys, save_dequantised, save_gguf, tiny_lm

pytest.importorskip("gguf")
CPU = torch.device("cpu")


FAMILIES = {
    "llama": {},
    "llama-untied-one-layer": {},
    "llama-without-gqa": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3_text": {"query_pre_attn_scalar": 8, "num_hidden_layers": 7, "layer_types": None},
    "granite": {},
    "olmo2": {},
}
"""What is other than in the tests of packs, so that a file can say it."""
LLAMA_3 = {"rope_type": "llama3", "rope_theta": 5e5, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SCALED = {
    "llama-3.1": ("llama", LLAMA_3 | {"factor": 8.0, "original_max_position_embeddings": 8192}),
    "llama-3.2": ("llama", LLAMA_3 | {"factor": 32.0, "original_max_position_embeddings": 8192}),
    "granite-as-llama-3": ("granite", LLAMA_3 | {"factor": 8.0, "original_max_position_embeddings": 8192}),
    "linear": ("llama", {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}),
    "gemma-3-4b": (
        "gemma3_text",
        {
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_in_float32_is_the_model_that_was_written(tmp_path, family):
    assert_same_model(save_gguf(tmp_path / "tiny.gguf", family, **FAMILIES[family]), family, FAMILIES[family])


@pytest.mark.parametrize("scaled", SCALED)
def test_scaled_frequencies_are_those_of_transformers(tmp_path, scaled):
    family, rope = SCALED[scaled]
    changes = FAMILIES[family] | {"rope_parameters": rope, "max_position_embeddings": 131_072}
    if family != "gemma3_text":
        changes |= {"hidden_size": 128, "head_dim": 32}

    path = save_gguf(tmp_path / "tiny.gguf", family, **changes)

    assert ("rope_freqs.weight" in read_gguf_header(path).tensors) is ("llama-3" in scaled)
    assert_same_model(path, family, changes)


def assert_same_model(path, family, changes):
    original = tiny_lm(family, **changes)
    decoder = load_decoder(path, device=CPU, bf16=False)

    wanted = original.model.state_dict()
    assert decoder.state_dict().keys() == wanted.keys()
    for name, weight in decoder.state_dict().items():
        if family.startswith("gemma") and name.endswith("norm.weight"):  # which the file has one larger
            assert torch.allclose(weight, wanted[name], rtol=0, atol=2e-7)
        else:
            assert torch.equal(weight, wanted[name])
    original.model.load_state_dict(decoder.state_dict())  # norms to the last bit
    if family != "mistral":
        assert decoder.config.rope_parameters == original.config.rope_parameters
    tokens = torch.arange(120)[None] * 7 % 261
    decoder.set_attn_implementation("eager")
    with torch.no_grad():
        states = decoder(tokens).last_hidden_state
        assert torch.equal(states, original.model(tokens).last_hidden_state)
        head = LmHead.of(path, dtype=torch.float32)
        logits = head.shaped(states @ head.whole()[0].T)
        assert torch.allclose(logits, original(tokens).logits, rtol=1e-5, atol=1e-5)


def test_the_lm_head_is_not_read_for_the_decoder(tmp_path, monkeypatch):
    path = save_gguf(tmp_path / "tiny.gguf", "llama-untied-one-layer")
    read = []
    monkeypatch.setattr(gguf_decoder, "GgufRows", lambda header, name: read.append(name) or GgufRows(header, name))

    load_decoder(path, device=CPU, bf16=False)

    assert sorted(read) == sorted({*read_gguf_header(path).tensors} - {"output.weight"})


@pytest.mark.parametrize(
    ("family", "fault"),
    [
        ("llama", {"rows_in_pairs": False}),
        ("qwen2", {"rows_in_pairs": True}),
        ("granite", {"rows_in_pairs": False}),
        ("gemma", {"norms_plus_one": False}),
        ("olmo2", {"norms_plus_one": True}),
        ("gemma2", {"layers_of_27b": None}),
        ("gemma3_text", {"layers_of_27b": None}),
    ],
)
def test_a_fault_in_the_table_would_be_seen_above(tmp_path, monkeypatch, family, fault):
    kind = {"gemma3_text": "gemma3"}.get(family, family)
    monkeypatch.setitem(ARCHITECTURES, kind, dataclasses.replace(ARCHITECTURES[kind], **fault))

    with pytest.raises(AssertionError, match="assert"):
        assert_same_model(save_gguf(tmp_path / "tiny.gguf", family, **FAMILIES[family]), family, FAMILIES[family])


def test_every_architecture_that_is_read_is_tried_above():
    written = {model_keys(tiny_lm(family, **changes))["general.architecture"] for family, changes in FAMILIES.items()}

    assert written == set(ARCHITECTURES)
    assert {each.model_type for each in ARCHITECTURES.values()} <= set(PROVEN)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "F16", "BF16"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_quantised_file_equals_the_dequantised_model_in_a_folder(tmp_path, kind, bf16):
    path = save_gguf(tmp_path / "tiny.gguf", kind=kind, intermediate_size=64)
    folder = tmp_path / "folder"
    save_dequantised(path, folder)

    ours, theirs = (load_decoder(each, device=CPU, bf16=bf16) for each in (path, folder))

    assert ours.dtype == theirs.dtype == (torch.bfloat16 if bf16 else torch.float32)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(weight, theirs.state_dict()[name]) for name, weight in ours.state_dict().items())
    assert {type(module) for module in ours.modules()} == {type(module) for module in theirs.modules()}


def test_nothing_beside_the_file_is_read_and_nothing_is_printed(tmp_path, capsys):
    path = save_gguf(tmp_path / "tiny.gguf")
    for name in ("config.json", "adapter_config.json", "tokenizer_config.json", "generation_config.json"):
        (tmp_path / name).write_text("not JSON")

    decoder = load_decoder(find_base(str(path), revision=None, cache_dir=None), device=CPU, bf16=False)
    load_tokenizer(path)

    assert isinstance(decoder, AutoModel._model_mapping[type(decoder.config)])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_settings_are_those_that_transformers_reads(tmp_path, family):
    path = save_gguf(tmp_path / "tiny.gguf", family)

    ours = gguf_settings(read_gguf_header(path)).to_dict()
    theirs = AutoConfig.from_pretrained(tmp_path, gguf_file=path.name).to_dict()

    apart = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert apart <= {"_name_or_path", "_model_name_or_path"}
