"""A GGUF file's configuration: what transformers makes of its keys, and only if those are all that counts.

transformers' loader passes over the keys that it does not know. One that changes what the model computes is refused
here, and so is one that nobody knows.
"""

from collections.abc import Mapping
from typing import Any, Final

from transformers import CONFIG_MAPPING, PreTrainedConfig

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.settings_values import check_settings
from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader
from ensemble_uq_llm.utils.text import clipped

NEEDED: Final = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
"""Keys of an architecture, and what transformers calls them."""

TOKENS: Final = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "unknown_token_id": "unk_token_id",
    "padding_token_id": "pad_token_id",
}

READ_TYPES: Final = ("llama", "qwen2", "qwen3")
"""The architectures whose keys say all that transformers needs, and whose equality with it a test proves."""

WITHOUT_EFFECT: Final[Mapping[str, tuple[object, ...]]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (0.0, 1.0),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "use_parallel_residual": (True,),  # llama.cpp reads it for GPT-NeoX alone
}
"""Keys that may be there if they say that nothing is out of the ordinary."""


def gguf_settings(header: GgufHeader) -> PreTrainedConfig:
    """Return the configuration that a GGUF file's keys describe.

    Raises:
        ModelError: its architecture is none that is read from GGUF, or a key is missing, impossible, or one whose
            meaning would be lost.
    """
    kind = _architecture(header)
    raw = _raw(header, kind)
    check_settings(header.path, raw)
    try:
        settings = CONFIG_MAPPING[kind](**raw)
    except Exception as error:
        raise ModelError(f"model_name: the keys of {header.path} cannot be used: {quoted(error)}") from error
    _check_all_counts(header, kind, settings)
    return settings


def _architecture(header: GgufHeader) -> str:
    kind = header.values.get("general.architecture")
    if kind not in READ_TYPES:
        raise ModelError(
            f"model_name: general.architecture in {header.path} is {clipped(kind)}; of GGUF files those of "
            f"{', '.join(READ_TYPES)} are read; give the model's folder of safetensors instead"
        )
    if header.values.get("split.count", 1) not in (0, 1):
        raise ModelError(
            f"model_name: {header.path} is one of {clipped(header.values['split.count'])} files of a model; merge them "
            "into one (llama-gguf-split --merge), and give that"
        )
    return str(kind)


def _raw(header: GgufHeader, kind: str) -> dict[str, Any]:
    """Return the keys by the names that config.json has for them."""
    values = header.values
    needed = {f"{kind}.{key}": name for key, name in NEEDED.items()}
    if kind != "llama":  # which alone has transformers' and llama.cpp's common default
        needed[f"{kind}.rope.freq_base"] = "rope_theta"
    if missing := [key for key in needed if key not in values]:
        raise ModelError(f"model_name: {header.path} has no {', '.join(missing)}; get it again, or another file of it")
    raw: dict[str, Any] = {name: values[key] for key, name in needed.items()}
    raw |= {name: values[key] for each, name in TOKENS.items() if (key := f"tokenizer.ggml.{each}") in values}
    vocabulary = values.get("tokenizer.ggml.tokens")
    raw["vocab_size"] = values.get(f"{kind}.vocab_size", len(vocabulary) if isinstance(vocabulary, list) else None)
    if kind == "llama":
        optional = {"rope.dimension_count": "head_dim", "rope.freq_base": "rope_theta"}
        raw |= {name: values[f"llama.{key}"] for key, name in optional.items() if f"llama.{key}" in values}
    elif kind == "qwen3" and "qwen3.attention.key_length" in values:
        raw["head_dim"] = values["qwen3.attention.key_length"]
    for name in ("rms_norm_eps", "rope_theta"):
        number = raw.get(name, 1.0)
        if not isinstance(number, int | float) or not 0 < number < float("inf"):
            raise ModelError(f"model_name: {name} in {header.path} must be a positive number, found {clipped(number)}")
    return raw | {"model_type": kind, "tie_word_embeddings": "output.weight" not in header.tensors}


def _check_all_counts(header: GgufHeader, kind: str, settings: PreTrainedConfig) -> None:
    """Refuse a key of the architecture that nothing here reads, unless it changes nothing."""
    width = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    same = dict.fromkeys(("rope.dimension_count", "attention.key_length", "attention.value_length"), width)
    read = {*NEEDED, "rope.freq_base", "vocab_size"}
    for full, value in header.values.items():
        key = full.removeprefix(f"{kind}.")
        if key == full or key in read or value in WITHOUT_EFFECT.get(key, ()):
            continue
        if key in same and value == same[key]:
            continue
        raise ModelError(
            f"model_name: {header.path} says {full} = {clipped(value)}, which transformers' reader of GGUF files "
            "passes over: it would compute something else; give the model's folder of safetensors instead"
        )
