"""Everything that can be wrong with a configuration, before any work: what `validate` and `--dry-run` say.

Each check goes on where another has failed, so that all problems are told at once. What cannot be looked at here (the
engine is not installed, the hub does not answer) is said, and is no problem.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ensemble_uq_llm.commands.check_list import DATA_KEYS, MODEL_KEYS, CheckList
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.check import check, check_what_is_right
from ensemble_uq_llm.data.classes import with_classes
from ensemble_uq_llm.errors import ConfigError, EnsembleUQError, ModelError, StorageError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.checks.strict_json import read_strict_json
from ensemble_uq_llm.models.gguf.gguf_header import is_gguf, read_gguf_header
from ensemble_uq_llm.models.local import local_folder
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.samples.posterior_record import title_of
from ensemble_uq_llm.storage.places import check_can_be_written
from ensemble_uq_llm.training.planning.room import check_places
from ensemble_uq_llm.utils.extras import naming_extras


def check_everything(
    config: Config, *, problems: Sequence[EnsembleUQError] = (), wrong: Collection[str] = ()
) -> dict[str, Any]:
    """Return what a configuration amounts to, and what could not be checked.

    Args:
        config: the configuration, with defaults in place of values that are wrong by themselves.
        problems: what is wrong with those.
        wrong: their keys.

    Raises:
        ConfigError, DataError, IntegrityError ...: every problem, each on its own lines.
    """
    found = CheckList(problems, wrong)
    if found.are_right(DATA_KEYS):
        with found.noting():
            config = with_classes(config)
        with found.noting():
            found.facts |= check(config)
    else:
        with found.noting():
            check_what_is_right(config, set(wrong))
    with found.noting():
        _check_output(config, found)
    with found.noting(), naming_extras():
        from ensemble_uq_llm.commands.engine_checks import check_engine

        check_engine(config, found)
    if "model" not in found.facts and found.are_right(MODEL_KEYS):
        with found.noting():
            _check_model_files(config, found)
    found.raise_if_any()
    return found.facts | ({"not_checked": found.not_checked} if found.not_checked else {})


def _check_output(config: Config, found: CheckList) -> None:
    """Check that the run folder can be written, and that nothing in it would stop a stage at its end."""
    if not found.are_right({"output_dir"}):
        return
    folder = RunFolder(config.output_dir)
    try:
        check_can_be_written(folder.root)
        folder.check_manifest()
        missing = [seed for seed in config.member_seeds if MemberId(seed) not in folder.members()]
        if title := title_of(folder):
            found.facts["holds"] = title
        else:
            check_places(folder, missing)
    except StorageError as error:
        raise StorageError(f"output_dir: {error}") from None
    found.facts["output_dir"] = str(folder.root)


def _check_model_files(config: Config, found: CheckList) -> None:
    """Check what can be seen of a model without the engine: its folder, its config.json, and the layers in it."""
    folder = local_folder(config.model_name)
    if folder is None:
        return
    settings = _gguf_settings(folder) if is_gguf(folder) else _settings(folder / "config.json")
    layers = settings.get("num_hidden_layers")
    if isinstance(layers, int) and (beyond := [each for each in config.lora_layers or () if each >= layers]):
        raise ConfigError(f"lora_layers: {beyond} asked for, and the model has layers 0 to {layers - 1}")
    found.facts["model"] = f"{settings.get('model_type')} in {folder}"


def _gguf_settings(path: Path) -> dict[str, Any]:
    values = read_gguf_header(path).values
    kind = values.get("general.architecture")
    return {"model_type": kind, "num_hidden_layers": values.get(f"{kind}.block_count")}


def _settings(path: Path) -> dict[str, Any]:
    try:
        return read_strict_json(path)
    except ValueError as error:
        raise ModelError(f"model_name: the configuration in {path} cannot be used: {error}") from None
