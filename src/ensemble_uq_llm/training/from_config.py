"""From a configuration to the plain values that the models take: the base, and the adapters on it."""

from pathlib import Path

from ensemble_uq_llm.config import EMBEDDED_MODEL, Config
from ensemble_uq_llm.config_file import with_absolute_paths
from ensemble_uq_llm.models.base import find_base
from ensemble_uq_llm.models.lora.peft_folder import BaseName
from ensemble_uq_llm.models.lora.spec import LoraSettings


def lora_settings(config: Config) -> LoraSettings:
    """Return the adapters that a configuration asks for."""
    return LoraSettings(
        rank=config.lora_r,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        targets=config.lora_target_modules,
        layers=config.lora_layers,
    )


def base_folder(config: Config, *, weights: bool = True) -> Path:
    """Return the folder of the configured base; see `models.base.find_base`."""
    return find_base(config.model_name, revision=config.model_revision, cache_dir=config.cache_dir, weights=weights)


def base_name(config: Config) -> BaseName:
    """Return what `peft` can resolve: a hub name as it is, a local or the embedded base as an absolute path."""
    if config.model_name == EMBEDDED_MODEL:
        return BaseName(name=str(base_folder(config).resolve()), revision=config.model_revision)
    return BaseName(name=with_absolute_paths(config).model_name, revision=config.model_revision)
