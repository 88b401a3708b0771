"""A GGUF file's decoder is the model that it was made from, and the dequantised model in a folder."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from ensemble_uq_llm.models.base import find_base, load_decoder, load_tokenizer
from ensemble_uq_llm.models.gguf.gguf_header import read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_settings import READ_TYPES, gguf_settings
from tiny_gguf import save_dequantised, save_gguf, tiny_lm

pytest.importorskip("gguf")
CPU = torch.device("cpu")


@pytest.mark.parametrize("family", ["llama", "llama-untied-one-layer", "llama-without-gqa", "qwen2", "qwen3"])
def test_a_file_in_float32_is_the_very_model_that_was_written(tmp_path, family):
    path = save_gguf(tmp_path / "tiny.gguf", family)
    original = tiny_lm(family)

    decoder = load_decoder(path, device=CPU, bf16=False)

    wanted = original.model.state_dict()
    assert decoder.state_dict().keys() == wanted.keys()
    assert all(torch.equal(weight, wanted[name]) for name, weight in decoder.state_dict().items())
    assert decoder.config.rope_parameters == original.config.rope_parameters
    tokens = torch.arange(5)[None]
    decoder.set_attn_implementation("eager")
    with torch.no_grad():
        assert torch.equal(decoder(tokens).last_hidden_state, original.model(tokens).last_hidden_state)


def test_every_type_that_is_read_is_tried_above():
    assert set(READ_TYPES) == {"llama", "qwen2", "qwen3"}


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
