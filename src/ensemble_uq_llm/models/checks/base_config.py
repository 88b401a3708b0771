"""A base's configuration: read by transformers, after what it would trip over, misread or run is refused by name."""

from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.attention.rope import check_rope
from ensemble_uq_llm.models.checks.families import check_family
from ensemble_uq_llm.models.checks.folder_files import check_folder
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.settings_values import check_settings
from ensemble_uq_llm.models.checks.strict_json import read_strict_json
from ensemble_uq_llm.models.gguf.gguf_header import is_gguf, read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_settings import gguf_settings


def read_base_config(folder: Path, *, allow_unproven: bool = False) -> PreTrainedConfig:
    """Read the configuration of a base that can be adapted; its own code (`auto_map`) is never executed.

    Raises:
        ModelError: the file is not one that transformers can use, or not that of a model that can be computed in
            packs; `allow_unproven` lets types pass that are yet to be compared with transformers.
    """
    settings = parse_base_config(folder)
    try:
        check_family(settings, allow_unproven=allow_unproven)
        check_rope(settings)
    except ModelError:
        raise
    except Exception as error:  # some types answer no question about all their layers together
        raise _unusable(folder if is_gguf(folder) else folder / "config.json", error) from error
    return settings


def parse_base_config(folder: Path) -> PreTrainedConfig:
    """Read the configuration of a base, whatever its kind.

    Raises:
        ModelError: the file is not one that transformers can use, its sizes are impossible, or its weights are
            quantised.
    """
    if is_gguf(folder):
        return gguf_settings(read_gguf_header(folder))
    path = folder / "config.json"
    check_folder(folder)
    raw = _read(path)
    check_settings(path, raw)
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"model_name: {folder} holds a base and an adapter (adapter_config.json), and transformers would load the "
            "adapter into the base; move the adapter's files to a folder of their own, and give that as adapter"
        )
    try:
        settings: PreTrainedConfig = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:
        raise _unusable(path, error) from error
    if hasattr(settings, "auto_map"):
        del settings.auto_map  # so that nothing below finds code to ask for
    return settings


def _unusable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"model_name: the configuration in {path} cannot be used: {quoted(error)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_strict_json(path)
    except ValueError as error:
        raise _unusable(path, error) from error
