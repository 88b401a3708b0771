"""The values of a base's configuration, whatever file they stand in: what no transformers model can have is refused."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import transformers
from transformers import CONFIG_MAPPING
from transformers.activations import ACT2FN

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped

LARGEST: Final = {
    "num_hidden_layers": 500,
    "num_attention_heads": 10_000,
    "num_key_value_heads": 10_000,
    "head_dim": 100_000,
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "vocab_size": 100_000_000,
    "max_position_embeddings": 1_000_000_000,
    "num_labels": 100_000,
}
"""The sizes of a decoder, and far more than any has: what is larger is a slip, and would only exhaust the memory."""

_MAY_BE_NULL: Final = ("head_dim", "num_key_value_heads", "max_position_embeddings", "num_labels")
_RESERVED: Final = ("attribute_map", "sub_configs")
"""What transformers' configurations know themselves by; a file that sets it would change what its other keys mean."""


def check_settings(path: Path, raw: dict[str, Any]) -> None:
    """Check what stands in a configuration before transformers makes anything of it.

    Raises:
        ModelError: a key or a value that cannot be, named with the file; or weights that are quantised.
    """
    _check_kind(path, raw)
    for section in _sections(raw):
        _check_keys(path, raw, section)
        _check_quantisation(path, section)
        _check_sizes(path, raw, section)
    _check_activation(path, raw)


def _check_kind(path: Path, raw: dict[str, Any]) -> None:
    """Demand a `model_type`: without it transformers guesses one from the folder's name."""
    kind = raw.get("model_type")
    if not isinstance(kind, str):
        raise ModelError(
            f"model_name: model_type in {path} must be the name of a model type, such as llama; found {clipped(kind)}"
        )
    if kind in CONFIG_MAPPING:
        if raw.get("auto_map"):
            warnings.warn(
                f"model_name: {path} names code of its own (auto_map), which is never executed; transformers' own "
                f"{kind} is used",
                stacklevel=4,
            )
        return
    own_code = "; its own code (auto_map) is never executed" if raw.get("auto_map") else ""
    raise ModelError(
        f"model_name: model_type {clipped(kind)} in {path} is none that transformers {transformers.__version__} "
        f"has{did_you_mean(kind, [*CONFIG_MAPPING])}{own_code}"
    )


def _sections(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the whole object and the configurations within it: composite models have one for their decoder."""
    parts = getattr(CONFIG_MAPPING[raw["model_type"]], "sub_configs", {})
    waiting = [raw]
    while waiting:
        section = waiting.pop()
        yield section
        inner = (value for key, value in section.items() if key.endswith("config") or key in parts)
        waiting.extend(value for value in inner if isinstance(value, dict))


def _check_keys(path: Path, raw: dict[str, Any], section: dict[str, Any]) -> None:
    if section is not raw and section.get("auto_map"):
        raise ModelError(f"model_name: a part of {path} names code of its own (auto_map), which is never executed")
    kind = CONFIG_MAPPING[raw["model_type"]]
    for key in section:
        if key in _RESERVED or key.startswith("__") or callable(getattr(kind, key, None)):
            raise ModelError(
                f"model_name: {path} has the key {clipped(key)}, which is part of transformers' own code; delete it"
            )


def _check_quantisation(path: Path, raw: dict[str, Any]) -> None:
    quantised = raw.get("quantization_config") or raw.get("compression_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise ModelError(
            f"model_name: {path} says that the weights are quantised ({clipped(method or 'quantization_config')}), "
            "which is not supported; name the model that they were quantised from, in float32, float16 or bfloat16"
        )


def _check_activation(path: Path, raw: dict[str, Any]) -> None:
    for key in ("hidden_act", "hidden_activation"):
        name = raw.get(key)
        if name is not None and not (isinstance(name, str) and name in ACT2FN):
            near = did_you_mean(name, [*ACT2FN]) if isinstance(name, str) else ""
            raise ModelError(
                f"model_name: {key} in {path} is {clipped(name)}, which is no activation of transformers"
                f"{near or '; restore the file that the model came with'}"
            )


def _check_sizes(path: Path, raw: dict[str, Any], section: dict[str, Any]) -> None:
    aliases = getattr(CONFIG_MAPPING[raw["model_type"]], "attribute_map", {})
    for name, largest in LARGEST.items():
        for key in {name, aliases.get(name, name)} & section.keys():
            size = section[key]
            if size is None and name in _MAY_BE_NULL:
                continue
            if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= largest:
                raise ModelError(
                    f"model_name: {key} in {path} must be a whole number from 1 to {largest:,}, found {clipped(size)}"
                )
    heads, groups = section.get("num_attention_heads"), section.get("num_key_value_heads")
    if heads is not None and groups is not None and heads % groups:
        raise ModelError(
            f"model_name: num_attention_heads {heads} in {path} is not a multiple of num_key_value_heads {groups}"
        )
