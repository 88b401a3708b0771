"""Tiny models written as GGUF files, as llama.cpp's converter writes them, and the same models as folders.

The converter's one change of values is here too: LLaMA's rows of queries and keys are put in the order of pairs.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from tiny_models import tiny_causal_lm, tiny_config

KINDS = {"gemma3_text": "gemma3", "mistral": "llama"}
"""The model types whose files are of another architecture's name."""
DIVISORS = "rope_freqs.weight"
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokens() -> list[str]:
    """Return a vocabulary of special tokens, one token a byte, and two merged ones."""
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in letters]
    spelled = {byte: chr(byte) for byte in letters} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [*SPECIALS, *(spelled[byte] for byte in range(256)), "Ġt", "he"]


TOKENS = byte_tokens()
MERGES = ["Ġ t", "h e"]


def tokenizer_keys(tokens: list[str] = TOKENS) -> dict[str, Any]:
    """Return the keys of a byte-level tokenizer."""
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(SPECIALS) + [1] * (len(tokens) - len(SPECIALS)),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def architecture(model: PreTrainedModel) -> str:
    """Return what GGUF calls the architecture of a model."""
    return KINDS.get(model.config.model_type, model.config.model_type)


def model_keys(model: PreTrainedModel) -> dict[str, Any]:
    """Return the keys that describe a model."""
    settings = model.config
    kind = architecture(model)
    width = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    rope = settings.rope_parameters
    keys = {
        "context_length": settings.max_position_embeddings,
        "block_count": settings.num_hidden_layers,
        "embedding_length": settings.hidden_size,
        "feed_forward_length": settings.intermediate_size,
        "attention.head_count": settings.num_attention_heads,
        "attention.head_count_kv": settings.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(settings.rms_norm_eps),
    }
    if kind in ("llama", "granite"):
        keys["vocab_size"] = settings.vocab_size
    if kind not in ("gemma", "gemma2"):
        keys["rope.freq_base"] = float(rope.get("full_attention", rope)["rope_theta"])
    if kind in ("llama", "granite", "qwen2", "qwen3"):
        keys["rope.dimension_count"] = width
    if kind in ("qwen3", "gemma", "gemma2", "gemma3"):
        keys |= {"attention.key_length": width, "attention.value_length": width}
    if kind in ("gemma2", "gemma3"):
        keys["attention.sliding_window"] = settings.sliding_window
    if (scaling := rope.get("full_attention", rope))["rope_type"] == "linear":
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling["factor"])}
    if kind == "gemma2":
        keys["attn_logit_softcapping"] = float(settings.attn_logit_softcapping)
    if kind in ("gemma2", "gemma3") and settings.final_logit_softcapping:
        keys["final_logit_softcapping"] = float(settings.final_logit_softcapping)
    if kind == "granite":
        keys |= {
            "attention.scale": float(settings.attention_multiplier),
            "embedding_scale": float(settings.embedding_multiplier),
            "residual_scale": float(settings.residual_multiplier),
            "logit_scale": float(settings.logits_scaling),
        }
    return {"general.architecture": kind} | {f"{kind}.{key}": value for key, value in keys.items()}


def model_tensors(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Return a model's weights by the names that the library gguf has for them."""
    gguf = pytest.importorskip("gguf")
    settings, kind = model.config, architecture(model)
    (number,) = (each for each, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(number, settings.num_hidden_layers)
    heads = {"q_proj": settings.num_attention_heads, "k_proj": settings.num_key_value_heads}
    tensors = {}
    for name, original in model.state_dict().items():
        if name == "lm_head.weight" and settings.tie_word_embeddings:
            continue
        part, weight = name.split(".")[-2], original
        if kind in ("llama", "granite") and part in heads:
            weight = in_pairs(original, heads[part])
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            weight = original + 1
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = weight.float().numpy()
    if settings.rope_parameters.get("rope_type") == "llama3":
        tensors[DIVISORS] = divisors(settings)
    return tensors


def divisors(settings: Any) -> np.ndarray:
    """Return what the frequencies of Llama 3.1 are divided by, one by one, as llama.cpp's converter computes it."""
    rope = settings.rope_parameters
    low, high, length = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    width = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    found = []
    for frequency in 1.0 / (rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width)):
        turns = length / (2 * math.pi / frequency)
        smooth = min(max(float((turns - low) / (high - low)), 0.0), 1.0)
        found.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(found, np.float32)


def in_pairs(weight: Tensor, heads: int) -> Tensor:
    """Put a projection's rows in the order in which llama.cpp rotates them: each with its partner."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def write_gguf(path: Path, keys: dict[str, Any], tensors: dict[str, np.ndarray], *, kind: str = "F32") -> Path:
    """Write a GGUF file; the matrices are stored as `kind`."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, keys.get("general.architecture", "llama"))
    for key, value in keys.items():
        if key == "general.architecture":
            continue
        kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        kinds[list] = writer.add_array
        kinds[type(value)](key, value)
    for name, array in tensors.items():
        stored = gguf.GGMLQuantizationType[kind if array.ndim > 1 else "F32"]
        writer.add_tensor(name, gguf.quantize(array, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tiny_lm(family: str = "llama", **overrides: Any) -> PreTrainedModel:
    """Return a model whose vocabulary is that of the files here."""
    return tiny_causal_lm(tiny_config(family, vocab_size=len(TOKENS), **overrides), attention="eager")


def save_gguf(path: Path, family: str = "llama", *, kind: str = "F32", keys: dict[str, Any] | None = None, **overrides):
    """Write a tiny model of a family, with a tokenizer, as a GGUF file; `keys` replace or add some, None removes."""
    model = tiny_lm(family, **overrides)
    found = model_keys(model) | tokenizer_keys() | (keys or {})
    found = {key: value for key, value in found.items() if value is not None}
    return write_gguf(path, found, model_tensors(model), kind=kind)


def save_tokenizer(folder: Path) -> None:
    """Write the same tokenizer as a tokenizer.json, made without any GGUF."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    backend = Tokenizer(BPE({token: n for n, token in enumerate(TOKENS)}, [tuple(each.split()) for each in MERGES]))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=SPECIALS[1], eos_token=SPECIALS[2], unk_token=SPECIALS[0],
        pad_token=SPECIALS[0], chat_template=TEMPLATE,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)


def save_dequantised(path: Path, folder: Path) -> Path:
    """Write what transformers reads of a GGUF file as a folder in float32, with the tokenizer."""
    dequantised = transformers.GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, quantization_config=dequantised
    )
    plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path.parent, gguf_file=path.name))
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    save_tokenizer(folder)
    return folder
