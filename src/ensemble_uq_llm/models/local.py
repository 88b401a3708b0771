"""Bases that lie on this machine: the embedded one, folders, GGUF files. Light, so that a check needs no engine."""

from glob import escape
from importlib import resources
from pathlib import Path
from typing import Final

from ensemble_uq_llm.config import EMBEDDED_MODEL
from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.folder_files import check_folder, obstacle
from ensemble_uq_llm.models.gguf.gguf_header import SUFFIX
from ensemble_uq_llm.utils.files import expanded
from ensemble_uq_llm.utils.suggest import did_you_mean

_SMALL_FILES: Final = ("*.json", "tokenizer.model", "*.jinja", "*.tiktoken", "merges.txt", "vocab.txt")
_WEIGHTS: Final = ("*.safetensors",)


def embedded_folder() -> Path:
    """Return the folder of the small LLaMA that ships with the package."""
    return Path(str(resources.files("ensemble_uq_llm") / "assets" / "tiny_llama"))


def local_folder(name: str) -> Path | None:
    """Return the folder or the GGUF file that `model_name` names, or None where it is the name of one on the hub.

    Raises:
        ModelError: it is the path of a folder or file that is not there, or not that of a model, or holds a file that
            must not be opened.
    """
    if name == EMBEDDED_MODEL:
        return embedded_folder()
    folder = expanded(Path(name))
    if folder.is_dir():
        if not (folder / "config.json").exists():
            files = sorted(each.name for each in folder.glob(f"*{SUFFIX}"))
            which = "the GGUF file in it:" if len(files) == 1 else f"one of the {len(files)} GGUF files in it, such as"
            instead = f"; name {which} {folder / files[0]}" if files else ""
            raise ModelError(
                f"model_name: {folder} is a folder without config.json, so not a Hugging Face model{instead}"
            )
        check_folder(folder)
        return folder
    if folder.suffix.lower() == SUFFIX:
        return _local_file(name, folder)
    if folder.is_file():
        raise ModelError(
            f"model_name: {folder} is a file; give the folder that holds it, or a file that ends in {SUFFIX}"
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        beside = (each.name for each in folder.parent.iterdir() if each.is_dir()) if folder.parent.is_dir() else ()
        advice = did_you_mean(folder.name, beside) or f"; give a hub name, a model folder, or `{EMBEDDED_MODEL}`"
        raise ModelError(f"model_name: there is no folder {name}{advice}")
    return None


def hub_parts(name: str) -> tuple[str, str | None]:
    """Return the name of a model on the hub, and that of the GGUF file in it, if it is one that is meant."""
    if not name.lower().endswith(SUFFIX):
        return name, None
    owner, model, file = name.split("/", 2)
    return f"{owner}/{model}", file


def hub_patterns(file: str | None = None, *, weights: bool = True) -> list[str]:
    """Return which files of a model on the hub are a base: its GGUF file, or those of a folder with their `weights`."""
    return [escape(file)] if file else [*_SMALL_FILES, *(_WEIGHTS if weights else ())]


def _local_file(name: str, path: Path) -> Path | None:
    """Return a GGUF file that is here; None if it can only be one on the hub: `owner/model/file.gguf`.

    A name is meant to be here if its folder is.
    """
    if path.exists() or path.is_symlink():
        if reason := obstacle(path, folder=path.resolve().parent):
            raise ModelError(f"model_name: {path} {reason}")
        return path
    if name.startswith((".", "/", "~")) or name.count("/") < 2 or path.parent.is_dir():
        beside = (each.name for each in path.parent.glob(f"*{SUFFIX}")) if path.parent.is_dir() else ()
        advice = (
            did_you_mean(path.name, beside) or "; correct the path, or name one on the hub as owner/model/file.gguf"
        )
        raise ModelError(f"model_name: there is no file {name}{advice}")
    return None
