"""`adapter_config.json`: read strictly, and everything in it that is not plain LoRA refused by name."""

from pathlib import Path
from typing import Any, Final

import peft

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.models.checks.strict_json import parse_strict_json
from ensemble_uq_llm.utils.text import clipped

SETTINGS: Final = "adapter_config.json"
_HEADS: Final = (("SEQ_CLS", "classification"), ("CAUSAL_LM", "answer"))
"""The head (`head` of the configuration) with which folders of a task are read."""

LARGEST: Final = 1_000_000_000
"""The highest rank and scale; far more than any adapter has, and few enough to compute with."""

_REFUSED: Final = {
    "use_dora": "DoRA",
    "lora_bias": "LoRA with a bias",
    "alora_invocation_tokens": "activated LoRA",
    "auto_mapping": "auto_mapping",
    "megatron_config": "a Megatron configuration",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "target_parameters",
}
"""Names for what is refused; every key that is not in `_UNDERSTOOD` is, where it is not PEFT's default."""

_UNDERSTOOD: Final = {
    "alpha_pattern", "base_model_name_or_path", "bias", "corda_config", "eva_config", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_alpha", "lora_dropout", "lora_ga_config", "modules_to_save", "peft_type", "peft_version", "r",
    "rank_pattern", "revision", "runtime_config", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
"""What is checked here or in `peft_view.py`, or says nothing of what a trained adapter computes."""

_STARTING: Final = ("corda_config", "eva_config", "lora_ga_config")
"""How some adapters began; it says nothing of what they compute."""

_STARTS: Final = (True, False, None, "gaussian", "orthogonal", "eva")
"""PEFT's initialisations that leave the base as it is. The others (PiSSA, OLoRA, LoftQ ...) change it on loading."""


def parse_settings(body: bytes, path: Path, *, task_type: str) -> dict[str, Any]:
    """Return the settings of a plain LoRA adapter for this task; `path` is what messages call the file.

    Raises:
        IntegrityError: the bytes are no JSON object, or say something else.
    """
    try:
        settings = parse_strict_json(body)
    except ValueError as error:
        raise IntegrityError(f"{path}: not JSON: {error}") from None
    kind = settings.get("peft_type"), settings.get("task_type")
    if kind != ("LORA", task_type):
        raise IntegrityError(
            f"{path}: peft_type {clipped(kind[0])} with task_type {clipped(kind[1])}; only LORA for {task_type} is read"
            + next((f" with this head; set head: {head}" for task, head in _HEADS if kind == ("LORA", task)), "")
        )
    defaults = peft.LoraConfig().to_dict()
    for key, value in settings.items():
        if value and key not in _UNDERSTOOD and value != defaults.get(key):
            name = _REFUSED.get(key, "that")
            raise IntegrityError(f"{path}: {key} = {clipped(value)}: {name} is not supported; only plain LoRA is read")
    for key in _STARTING:
        if not isinstance(settings.get(key), dict | None):
            raise IntegrityError(f"{path}: {key} = {clipped(settings[key])}, and PEFT takes an object or null")
    _check_start(path, settings.get("init_lora_weights"))
    if settings.get("bias", "none") != "none":
        raise IntegrityError(f"{path}: bias = {clipped(settings['bias'])}: trained biases are not supported")
    if not (_is_positive(settings.get("lora_alpha"), int | float) and _is_positive(settings.get("r"), int)):
        raise IntegrityError(f"{path}: r and lora_alpha must be positive numbers, of at most {LARGEST:,}")
    for key, numbers in (("rank_pattern", int), ("alpha_pattern", int | float)):
        pattern = settings.get(key) or {}
        if not isinstance(pattern, dict) or not all(_is_positive(value, numbers) for value in pattern.values()):
            raise IntegrityError(f"{path}: {key} must map names to positive numbers, of at most {LARGEST:,}")
    return settings


def _check_start(path: Path, start: object) -> None:
    """Refuse adapters that are differences to a base that PEFT changes; a test follows the advice that is given."""
    if not any(start is each or (isinstance(start, str) and start == each) for each in _STARTS):
        raise IntegrityError(
            f"{path}: init_lora_weights = {clipped(start)}: PEFT changes the base with it on loading. Convert the "
            "adapter to plain LoRA: load it with PEFT and save it with `save_pretrained(NEW, "
            "path_initial_model_for_weight_conversion=START)`, where START is the path of the adapter as it was saved "
            "before its training; PEFT leaves the head out, so copy the tensors without `lora_` in their names from "
            f"{path.parent.name}'s adapter_model.safetensors into NEW's"
        )


def _is_positive(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and 0 < value <= LARGEST
