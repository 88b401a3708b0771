"""A tokenizer's settings, before transformers acts on them: which class to make, which files to open.

transformers takes `tokenizer_class` for the name of anything that it has: a model, or a class that runs the code of the
folder. Here it is a fast tokenizer, or nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.strict_json import read_strict_json
from ensemble_uq_llm.utils.text import clipped

SETTINGS: Final = "tokenizer_config.json"
LARGEST_GROWTH: Final = 100
"""How many times longer a normaliser may make a text, by its settings; those of known models make it no longer."""

_LARGEST_ID: Final = 2_000_000
_REFUSED: Final = ("init_inputs", "gguf_file", "tokenizer_object")
"""Keys that say what the tokenizer is made from, in place of the files of the folder."""

_GENERIC: Final = ("PreTrainedTokenizer", "PythonBackend")
"""Names for a tokenizer of Python code, in whose place transformers makes a fast one."""


def check_tokenizer_settings(folder: Path, named_in_config: object) -> None:
    """Refuse settings by which transformers would make anything but a fast tokenizer from files of the folder.

    `named_in_config` is the `tokenizer_class` of config.json: it counts where the tokenizer's own settings have none.

    Raises:
        ModelError: such settings, or a file that is none.
    """
    _check_class(folder / "config.json", named_in_config)
    path = folder / SETTINGS
    if not path.exists():
        return
    try:
        settings = read_strict_json(path)
    except ValueError as error:
        raise ModelError(f"model_name: no usable tokenizer in {folder}: {SETTINGS}: {error}") from error
    _check_class(path, settings.get("tokenizer_class"))
    for key in _REFUSED:
        if settings.get(key):
            raise ModelError(
                f"model_name: {key} in {path} is not supported; delete it, the tokenizer is tokenizer.json"
            )
    _check_versions(path, settings.get("fast_tokenizer_files"))
    _check_added(path, settings.get("added_tokens_decoder"))


def check_growth(folder: Path, backend: Any) -> None:
    """Refuse a normaliser that blows texts up; `backend` is the tokenizer of the library tokenizers.

    Raises:
        ModelError: the texts could become more than a hundred times longer.
    """
    normaliser = backend.normalizer
    if normaliser is None:
        return
    growth = 1.0
    for part in _parts(json.loads(normaliser.__getstate__())):
        growth *= _growth(part)
        if growth > LARGEST_GROWTH:
            raise ModelError(
                f"model_name: the normalizer in {folder / 'tokenizer.json'} makes texts over {LARGEST_GROWTH} times "
                "longer; get the file again from where the model came from"
            )


def _check_class(path: Path, name: object) -> None:
    if name is None:
        return
    if not isinstance(name, str):
        raise ModelError(f"model_name: tokenizer_class in {path} must be a name, found {clipped(name)}")
    short = name.removesuffix("Fast")
    for each in (name, short, f"{short}Fast"):
        found: object = tokenizer_class_from_name(each) if each else None
        is_fast = isinstance(found, type) and issubclass(found, PreTrainedTokenizerFast)
        if found is not None and not is_fast and getattr(found, "__name__", "") not in _GENERIC:
            raise ModelError(
                f"model_name: tokenizer_class in {path} is {clipped(name)}, which is no fast tokenizer; name one, such "
                "as PreTrainedTokenizerFast, if there is a tokenizer.json"
            )


def _check_versions(path: Path, names: object) -> None:
    """Demand that the files for older versions of transformers lie beside the newest."""
    if names is None:
        return
    if not isinstance(names, list) or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ModelError(f"model_name: fast_tokenizer_files in {path} must be a list of files beside it")


def _check_added(path: Path, tokens: object) -> None:
    """Bound the numbers of added tokens: transformers fills the gap up to the largest."""
    if tokens is None:
        return
    if not isinstance(tokens, dict) or not all(each.isdecimal() and int(each) <= _LARGEST_ID for each in tokens):
        raise ModelError(
            f"model_name: added_tokens_decoder in {path} must have numbers of tokens as keys, up to {_LARGEST_ID:,}"
        )


def _parts(normaliser: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if normaliser["type"] == "Sequence":
        for each in normaliser["normalizers"]:
            yield from _parts(each)
    else:
        yield normaliser


def _growth(part: dict[str, Any]) -> float:
    """Return how many times longer a part can make a text of one character, at most."""
    if part["type"] == "Prepend":
        return 1.0 + len(part["prepend"])
    if part["type"] != "Replace":
        return 1.0
    replaced = part["pattern"].get("String")
    return max(1.0, len(part["content"]) / (1 if replaced is None else max(1, len(replaced))))
