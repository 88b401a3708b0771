"""The base's LM head from its files: the rows that transformers has, and files that do not have them."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.heads import lm_head
from ensemble_uq_llm.models.heads.lm_head import LmHead
from tiny_gguf import save_dequantised, save_gguf
from tiny_models import SHAPE, VOCABULARY, tiny_causal_lm, tiny_config

TOKENS = (90, 3, 50)
FILE = "model.safetensors"


def saved(folder, family="llama", **keys):
    model = tiny_causal_lm(tiny_config(family, **keys), attention="eager")
    model.save_pretrained(folder)
    return model


def opened(folder, dtype=torch.float32):
    return LmHead.of(folder, dtype=dtype)


def change(folder, edit):
    tensors = load_file(folder / FILE)
    edit(tensors)
    save_file(tensors, folder / FILE, metadata={"format": "pt"})


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shard", [None, "4KB"])
def test_its_rows_are_those_of_transformers(tmp_path, tied, dtype, shard):
    model = tiny_causal_lm(tiny_config(tie_word_embeddings=tied), attention="eager")
    model.save_pretrained(tmp_path, **({} if shard is None else {"max_shard_size": shard}))
    expected = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype).lm_head.weight.float()
    rows = opened(tmp_path, dtype).rows(TOKENS)
    assert torch.equal(rows.weight_CH, expected[list(TOKENS)])
    assert rows.bias_C is None
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 or shard is not None


def test_a_bias_belongs_to_it(tmp_path):
    model = saved(tmp_path, "phi", tie_word_embeddings=False)
    assert torch.equal(opened(tmp_path).rows(TOKENS).bias_C, model.lm_head.bias[list(TOKENS)])


def test_a_head_that_is_stored_beside_a_tied_embedding_is_read_as_transformers_reads_it(tmp_path):
    saved(tmp_path)
    change(tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"] * 2}))
    expected = AutoModelForCausalLM.from_pretrained(tmp_path).lm_head.weight
    assert torch.equal(opened(tmp_path).rows(TOKENS).weight_CH, expected[list(TOKENS)])


@pytest.mark.parametrize("family", ["llama", "phi"])
def test_the_whole_of_it_is_in_the_bases_precision(tmp_path, family):
    model = saved(tmp_path, family, tie_word_embeddings=False)
    weight_VH, bias_V = opened(tmp_path, torch.bfloat16).whole()
    assert torch.equal(weight_VH, model.lm_head.weight.bfloat16())
    assert bias_V is None if family == "llama" else torch.equal(bias_V, model.lm_head.bias.bfloat16())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_a_copy_of_it_is_known_in_any_precision(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(lm_head, "ROWS_AT_ONCE", 40)
    model = saved(tmp_path, tie_word_embeddings=False)
    copied = model.lm_head.weight.to(kind).float()
    head = opened(tmp_path)
    assert head.equals(copied)
    assert not head.equals(copied, embedding=True)
    assert head.equals(model.model.embed_tokens.weight.to(kind).float(), embedding=True)
    for place in (0, VOCABULARY - 1):
        other = copied.clone()
        other[place, 0] += 1
        assert not head.equals(other)


def test_a_copy_of_the_bias_is_known_too(tmp_path):
    model = saved(tmp_path / "phi", "phi", tie_word_embeddings=False)
    head = opened(tmp_path / "phi")
    assert head.equals(model.lm_head.bias.bfloat16().float())
    assert not head.equals(model.lm_head.bias + 1)
    saved(tmp_path / "llama")
    assert not opened(tmp_path / "llama").equals(model.lm_head.bias), "LLaMA's has none"


def test_a_copy_whose_parts_are_of_different_precision_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(lm_head, "ROWS_AT_ONCE", 40)
    model = saved(tmp_path)
    copied = model.lm_head.weight.clone()
    copied[:40], copied[40:] = copied[:40].bfloat16().float(), copied[40:].half().float()
    assert not opened(tmp_path).equals(copied)


def drop(name):
    return lambda tensors: tensors.pop(name)


def put(name, value):
    return lambda tensors: tensors.update({name: value})


WIDTH = SHAPE["hidden_size"]
DAMAGES = {
    "none": (drop("lm_head.weight"), r"has no LM head \(lm_head.weight\), which head: answer reads; get the whole"),
    "another shape": (
        put("lm_head.weight", torch.zeros(5, WIDTH)),
        rf"lm_head.weight in .* has shape \(5, {WIDTH}\) and type F32, and by config.json .* \({VOCABULARY}, {WIDTH}\)",
    ),
    "another type": (
        put("lm_head.weight", torch.zeros(VOCABULARY, WIDTH, dtype=torch.int8)),
        "lm_head.weight in .* type I8",
    ),
    "not finite": (put("lm_head.weight", torch.full((VOCABULARY, WIDTH), torch.nan)), "holds NaN or infinity"),
    "a bias of another shape": (put("lm_head.bias", torch.zeros(3)), r"lm_head.bias in .* has shape \(3,\)"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_cannot_be_read_is_named(tmp_path, damage, message):
    saved(tmp_path, tie_word_embeddings=False)
    change(tmp_path, damage)
    with pytest.raises(ModelError, match=message):
        opened(tmp_path).rows(TOKENS)


def test_a_torn_file_is_named(tmp_path):
    saved(tmp_path, tie_word_embeddings=False)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    with pytest.raises(ModelError, match=re.escape(f"{tmp_path / FILE} cannot be read: ")):
        opened(tmp_path).rows(TOKENS)


def test_a_type_that_is_not_proved_is_refused(tmp_path):
    saved(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "stablelm"}))
    with pytest.raises(ModelError, match=r"the LM head of a stablelm is not among those .* use head: classification"):
        opened(tmp_path)


@pytest.mark.parametrize("family", ["llama", "llama-untied-one-layer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_a_gguf_file_it_is_that_of_the_dequantised_model_in_a_folder(tmp_path, family, dtype):
    pytest.importorskip("gguf")
    path = save_gguf(tmp_path / "tiny.gguf", family, kind="Q8_0", intermediate_size=64)
    save_dequantised(path, tmp_path / "folder")
    in_file, in_folder = opened(path, dtype), opened(tmp_path / "folder", dtype)
    assert torch.equal(in_file.rows((9, 3)).weight_CH, in_folder.rows((9, 3)).weight_CH)
    assert torch.equal(in_file.whole()[0], in_folder.whole()[0])
    assert in_file.equals(in_folder.whole()[0])
    assert in_file.is_tied == in_folder.is_tied == (family == "llama")
