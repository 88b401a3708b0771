"""A GGUF file's configuration: what its keys say to transformers, and only if those are all that counts.

A key that changes what the model computes and is not read is refused here, and so is one that nobody knows.
"""

import re
from collections.abc import Mapping
from math import inf
from typing import Any, Final

from transformers import CONFIG_MAPPING, PreTrainedConfig

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.settings_values import check_settings
from ensemble_uq_llm.models.gguf.gguf_architectures import ARCHITECTURES, OUTPUT, USUAL_KEYS, Architecture
from ensemble_uq_llm.models.gguf.gguf_header import SUFFIX, GgufHeader
from ensemble_uq_llm.models.gguf.gguf_rope import READ, check_divisors, rope_settings
from ensemble_uq_llm.utils.text import as_word, clipped

TOKENS: Final = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "unknown_token_id": "unk_token_id",
    "padding_token_id": "pad_token_id",
}

WITHOUT_EFFECT: Final[Mapping[str, tuple[object, ...]]] = {
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "use_parallel_residual": (True,),  # llama.cpp reads it for GPT-NeoX alone
    "rope.scaling.finetuned": (True, False),  # says how the model was made
}
"""Keys that may be there if they say that nothing is out of the ordinary."""

_WIDTHS: Final = ("attention.key_length", "rope.dimension_count", "attention.value_length")
"""Keys that name the size of a head, and must agree; it is taken from the first of the first two that is there."""


def gguf_settings(header: GgufHeader) -> PreTrainedConfig:
    """Return the configuration that a GGUF file's keys describe.

    Raises:
        ModelError: its architecture is none that is read from GGUF, or a key is missing, impossible, or one whose
            meaning would be lost.
    """
    kind, architecture = architecture_of(header)
    raw = _raw(header, kind, architecture)
    check_settings(header.path, raw)
    raw |= _scale_of_queries(raw, architecture)
    try:
        settings = CONFIG_MAPPING[architecture.model_type](**raw)
    except Exception as error:
        raise ModelError(f"model_name: the keys of {header.path} cannot be used: {quoted(error)}") from error
    _check_all_counts(header, kind, architecture, settings)
    check_divisors(header, settings)
    return settings


def architecture_of(header: GgufHeader) -> tuple[str, Architecture]:
    """Return the architecture that a file names, and how it differs from the usual.

    Raises:
        ModelError: it is none that is read, or the file is a part of one.
    """
    if (parts := header.values.get("split.count", 1)) not in (0, 1):
        raise _is_part(header, parts)
    kind = header.values.get("general.architecture")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise ModelError(
            f"model_name: general.architecture in {header.path} is {clipped(kind)}; of GGUF files those of "
            f"{', '.join(ARCHITECTURES)} are read; give the model's folder of safetensors instead"
        )
    return kind, ARCHITECTURES[kind]


def _is_part(header: GgufHeader, parts: object) -> ModelError:
    name = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})", header.path.stem)
    first, merged = (f"{name[1]}-00001-of-{name[2]}", name[1]) if name else ("FIRST", "MERGED")
    return ModelError(
        f"model_name: {header.path} is one of {clipped(parts)} files of a model; merge them into one with llama.cpp's "
        f"llama-gguf-split --merge {as_word(f'{first}{SUFFIX}')} {as_word(f'{merged}{SUFFIX}')}, and give that"
    )


def _raw(header: GgufHeader, kind: str, architecture: Architecture) -> dict[str, Any]:
    """Return the keys by the names that config.json has for them."""
    values = {key.removeprefix(f"{kind}."): value for key, value in header.values.items()}
    needed = {**USUAL_KEYS, **architecture.needed}
    base = () if architecture.base_may_lack else ("rope.freq_base",)
    if missing := [f"{kind}.{key}" for key in (*needed, *base) if key not in values]:
        raise ModelError(f"model_name: {header.path} has no {', '.join(missing)}; get it again, or another file of it")
    raw: dict[str, Any] = {name: values[key] for key, name in needed.items()}
    raw |= {name: values[key] for key, name in architecture.optional.items() if key in values}
    _check_numbers(header, {f"{kind}.{key}": raw[name] for key, name in _numbers(architecture) if name in raw})
    raw["num_key_value_heads"] = values.get("attention.head_count_kv", raw["num_attention_heads"])
    vocabulary = values.get("tokenizer.ggml.tokens")
    raw["vocab_size"] = values.get("vocab_size", len(vocabulary) if isinstance(vocabulary, list) else None)
    if architecture.own_head_size and (widths := [values[key] for key in _WIDTHS[:2] if key in values]):
        raw["head_dim"] = widths[0]
    tokens = {name: values.get(f"tokenizer.ggml.{key}") for key, name in TOKENS.items()}
    raw |= {name: number for name, number in tokens.items() if number is not None or name == "pad_token_id"}
    raw |= rope_settings(header, kind, architecture)
    return raw | {"model_type": architecture.model_type, "tie_word_embeddings": OUTPUT not in header.tensors}


def _numbers(architecture: Architecture) -> list[tuple[str, str]]:
    """Return the keys, and their names, that nobody else checks: those of sizes are checked as those of config.json."""
    return [
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        *architecture.needed.items(),
        *architecture.optional.items(),
    ]


def _check_numbers(header: GgufHeader, numbers: Mapping[str, object]) -> None:
    for key, number in numbers.items():
        is_size = key.endswith("sliding_window")
        if isinstance(number, bool) or not isinstance(number, int if is_size else int | float) or not 0 < number < inf:
            what = "whole number from 1" if is_size else "positive number"
            raise ModelError(f"model_name: {key} in {header.path} must be a {what}, found {clipped(number)}")


def _scale_of_queries(raw: Mapping[str, Any], architecture: Architecture) -> dict[str, int]:
    """Return what Gemma divides its queries by, squared, which llama.cpp knows by the number of layers alone."""
    if architecture.layers_of_27b is None:
        return {}
    width: int = raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"]
    if raw["num_hidden_layers"] == architecture.layers_of_27b:
        width = raw["hidden_size"] // raw["num_attention_heads"]
    return {"query_pre_attn_scalar": width}


def _check_all_counts(header: GgufHeader, kind: str, architecture: Architecture, settings: PreTrainedConfig) -> None:
    """Refuse a key of the architecture that nothing here reads, unless it changes nothing."""
    width = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    same = dict.fromkeys(_WIDTHS, width)
    read = {*USUAL_KEYS, *architecture.needed, *architecture.optional, "attention.head_count_kv", "vocab_size"}
    read |= {f"rope.{key}" for key in READ}
    for full, value in header.values.items():
        key = full.removeprefix(f"{kind}.")
        if key == full or key in read or value in WITHOUT_EFFECT.get(key, ()):
            continue
        if key in same and value == same[key]:
            continue
        raise ModelError(
            f"model_name: {header.path} says {full} = {clipped(value)}, which is not read from GGUF files: the model "
            "would compute something else; give the model's folder of safetensors instead"
        )
