"""A GGUF file's tensors: all there, of the right shapes, and none that the model would be without."""

import numpy as np
import pytest

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_skeleton
from ensemble_uq_llm.models.checks.weights import check_weights, weight_files
from tiny_gguf import model_keys, model_tensors, tiny_lm, tokenizer_keys, write_gguf

pytest.importorskip("gguf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blk.1.ffn_up.weight": None}, r"lacks weights: 'layers.1.mlp.up_proj.weight'; get it again"),
        ({"token_embd.weight": None, "blk.0.attn_q.weight": None}, r"lacks weights: 'embed_tokens.*, 'layers.0"),
        ({"blk.0.attn_q.weight": (48, 32)}, r"blk.0.attn_q.weight in .* has shape \(48, 32\), and .* \(32, 32\)"),
        ({"blk.0.attn_q.bias": (32,)}, "a tensor 'blk.0.attn_q.bias', for which the model has no place"),
        ({"blk.2.ffn_up.weight": (48, 32)}, "a tensor 'blk.2.ffn_up.weight', for which"),
        ({"blk.00.ffn_up.weight": (48, 32)}, "a tensor 'blk.00.ffn_up.weight', for which"),
        ({"layers.0.mlp.up_proj.weight": (48, 32)}, "has a tensor 'layers.0.mlp.up_proj.weight', for which"),
        ({"blk.0.ffn_gate_inp.weight": (8, 32)}, "a tensor 'blk.0.ffn_gate_inp.weight', for which"),
    ],
)
def test_other_tensors_than_the_models_are_refused(tmp_path, changes, message):
    model = tiny_lm()
    tensors = model_tensors(model)
    for name, shape in changes.items():
        tensors.pop(name, None)
        if shape is not None:
            tensors[name] = np.zeros(shape, np.float32)
    path = write_gguf(tmp_path / "a.gguf", model_keys(model) | tokenizer_keys(), tensors)

    with pytest.raises(ModelError, match=rf"^model_name: .*{message}"):
        check_weights(path, load_skeleton(path, bf16=False))


def test_the_models_own_tensors_are_taken_with_and_without_a_head(tmp_path):
    for tied in (True, False):
        model = tiny_lm(tie_word_embeddings=tied)
        path = write_gguf(tmp_path / f"{tied}.gguf", model_keys(model) | tokenizer_keys(), model_tensors(model))

        check_weights(path, load_skeleton(path, bf16=False))

        assert weight_files(path) == [path]
