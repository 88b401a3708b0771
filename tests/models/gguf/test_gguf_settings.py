"""A GGUF file's configuration: every key that would change the model is read or refused."""

import numpy as np
import pytest

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_skeleton
from ensemble_uq_llm.models.gguf.gguf_header import read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_settings import gguf_settings
from tiny_gguf import save_gguf, write_gguf

pytest.importorskip("gguf")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"general.architecture": "mamba"}, r"general.architecture in .* is 'mamba'; of GGUF files those of llama"),
        ({"general.architecture": "x" * 500}, r"is 'x{80}'\.\.\.; of GGUF"),
        ({"split.count": 3}, "is one of 3 files of a model; merge .* --merge FIRST.gguf MERGED.gguf, and give"),
        ({"llama.block_count": None}, "has no llama.block_count; get it again"),
        ({"llama.block_count": 501}, "num_hidden_layers in .* must be a whole number from 1 to 500, found 501"),
        ({"llama.block_count": "2"}, "num_hidden_layers in .* must be a whole number from 1 to 500, found '2'"),
        ({"llama.attention.head_count": 0}, "num_attention_heads in .* must be a whole number"),
        ({"llama.attention.head_count_kv": 3}, "num_attention_heads 4 in .* is not a multiple of"),
        ({"llama.attention.head_count": [4, 4]}, "num_attention_heads in .* found a list of 2"),
        (
            {"llama.attention.layer_norm_rms_epsilon": float("nan")},
            "llama.attention.layer_norm_rms_epsilon in .* must be a positive number, found nan",
        ),
        ({"llama.rope.freq_base": -1.0}, "llama.rope.freq_base in .* must be a positive number, found -1.0"),
        ({"llama.rope.scaling.type": "yarn"}, "says llama.rope.scaling.type = 'yarn', and its rotary"),
        ({"llama.rope.scaling.factor": -8.0}, "llama.rope.scaling.factor in .* must be a positive number, found -8.0"),
        ({"llama.attention.sliding_window": 4}, "says llama.attention.sliding_window = 4, which"),
        ({"llama.expert_count": 8}, "says llama.expert_count = 8, which"),
        ({"llama.attention.key_length": 16}, "says llama.rope.dimension_count = 8, which"),
        ({"llama.attention.value_length": 16}, "says llama.attention.value_length = 16, which"),
        ({"llama.rope.freq_base_swa": 1e4}, "says llama.rope.freq_base_swa = 10000.0, and its rotary"),
        ({"llama.something.new": True}, "says llama.something.new = True, which"),
    ],
)
def test_a_key_that_cannot_be_kept_is_refused(tmp_path, keys, message):
    path = save_gguf(tmp_path / "a.gguf", keys=keys)

    with pytest.raises(ModelError, match=rf"^model_name: .*{message}"):
        load_skeleton(path, bf16=False)


@pytest.mark.parametrize("number", [1, 2])
def test_a_part_of_a_model_is_refused_with_the_command_that_merges_it(tmp_path, number):
    path = tmp_path / f"a model-0000{number}-of-00003.gguf"
    if number == 1:
        save_gguf(path, keys={"split.count": 3})
    else:  # the first alone has the keys of the model
        write_gguf(path, {"split.no": 1, "split.count": 3}, {"blk.1.attn_norm.weight": np.zeros(32, np.float32)})

    with pytest.raises(
        ModelError,
        match=r"is one of 3 files of a model; merge them into one with llama.cpp's llama-gguf-split --merge "
        r"'a model-00001-of-00003.gguf' 'a model.gguf', and give that",
    ):
        load_skeleton(path, bf16=False)


def test_keys_that_change_nothing_are_passed_over(tmp_path):
    keys = {
        "general.name": "mistral", "general.file_type": 3, "llama.rope.scaling.type": "none", "llama.expert_count": 0,
        "llama.attention.key_length": 8, "llama.attention.causal": True, "split.count": 1,
    }  # fmt: skip
    plain = gguf_settings(read_gguf_header(save_gguf(tmp_path / "a.gguf")))
    more = gguf_settings(read_gguf_header(save_gguf(tmp_path / "b.gguf", keys=keys)))

    assert more.to_dict() == plain.to_dict()


def test_what_a_file_may_leave_out(tmp_path):
    path = save_gguf(tmp_path / "a.gguf", keys={"llama.vocab_size": None, "llama.rope.dimension_count": None})

    settings = gguf_settings(read_gguf_header(path))

    assert settings.head_dim == 8
    assert settings.vocab_size == 261
    without = save_gguf(tmp_path / "c.gguf", "llama-without-gqa", keys={"llama.attention.head_count_kv": None})
    assert gguf_settings(read_gguf_header(without)).num_key_value_heads == 4
    with pytest.raises(ModelError, match=r"has no qwen2.rope.freq_base; get it again"):
        gguf_settings(read_gguf_header(save_gguf(tmp_path / "b.gguf", "qwen2", keys={"qwen2.rope.freq_base": None})))


@pytest.mark.parametrize(
    ("family", "key", "value", "message"),
    [
        ("gemma2", "attention.sliding_window", 0, "must be a whole number from 1, found 0"),
        ("gemma3_text", "attention.sliding_window", None, "has no gemma3.attention.sliding_window; get it again"),
        ("gemma2", "attn_logit_softcapping", "50", "must be a positive number, found '50'"),
        ("granite", "attention.scale", None, "has no granite.attention.scale; get it again"),
        ("gemma2", "attention.sliding_window", 1.5, "must be a whole number from 1, found 1.5"),
        ("granite", "rope.dimension_count", 6, "says granite.rope.dimension_count = 6, which"),
    ],
)
def test_the_keys_of_one_architecture_are_needed_and_checked(tmp_path, family, key, value, message):
    kind = {"gemma3_text": "gemma3"}.get(family, family)
    path = save_gguf(tmp_path / "a.gguf", family, keys={f"{kind}.{key}": value})

    with pytest.raises(ModelError, match=rf"^model_name: .*{message}"):
        gguf_settings(read_gguf_header(path))


@pytest.mark.parametrize(("kind", "layers"), [("gemma2", 46), ("gemma3", 62)])
def test_the_largest_gemma_scales_its_queries_by_the_width_of_its_heads_share(tmp_path, kind, layers):
    family = {"gemma3": "gemma3_text"}.get(kind, kind)
    for number, scale in ((layers, 64 // 4), (layers - 1, 8)):
        path = save_gguf(tmp_path / "a.gguf", family, hidden_size=64, keys={f"{kind}.block_count": number})
        assert gguf_settings(read_gguf_header(path)).query_pre_attn_scalar == scale


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_is_tied_where_the_file_has_none(tmp_path, tied):
    path = save_gguf(tmp_path / "a.gguf", tie_word_embeddings=tied)

    assert gguf_settings(read_gguf_header(path)).tie_word_embeddings is tied
