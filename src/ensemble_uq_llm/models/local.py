"""Bases that lie on this machine: the embedded one, and folders. Light, so that a check needs no engine."""

from importlib import resources
from pathlib import Path

from ensemble_uq_llm.config import EMBEDDED_MODEL
from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.folder_files import check_folder
from ensemble_uq_llm.utils.files import expanded
from ensemble_uq_llm.utils.suggest import did_you_mean


def embedded_folder() -> Path:
    """Return the folder of the small LLaMA that ships with the package."""
    return Path(str(resources.files("ensemble_uq_llm") / "assets" / "tiny_llama"))


def local_folder(name: str) -> Path | None:
    """Return the folder that `model_name` names, or None where it is the name of a model on the hub.

    Raises:
        ModelError: it is the path of a folder that is not there, or not that of a model, or holds a file that must not
            be opened.
    """
    if name == EMBEDDED_MODEL:
        return embedded_folder()
    folder = expanded(Path(name))
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"model_name: {folder} is a folder without config.json, so not a Hugging Face model")
        check_folder(folder)
        return folder
    if folder.is_file():
        raise ModelError(f"model_name: {folder} is a file; give the folder that holds it")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        beside = (each.name for each in folder.parent.iterdir() if each.is_dir()) if folder.parent.is_dir() else ()
        advice = did_you_mean(folder.name, beside) or f"; give a hub name, a model folder, or `{EMBEDDED_MODEL}`"
        raise ModelError(f"model_name: there is no folder {name}{advice}")
    return None
