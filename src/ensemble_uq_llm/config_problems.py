"""What is wrong with the values of keys, each by itself and together, in words that tell the user what to write."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pydantic_core import ErrorDetails

from ensemble_uq_llm.labels.class_names import FROM_DATA
from ensemble_uq_llm.labels.label_values import key_of
from ensemble_uq_llm.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config

_WORDS: Final = {
    "path_type": "must be a path (quote one that looks like a number)",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty; delete the line, or write null where that is allowed",
    "too_short": "must hold at least {min_length}",
}
"""What to say instead of pydantic's words, by the type of its error."""


def field_problems(details: Sequence[ErrorDetails], *, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with each key, as the user wrote it: the key, and what to write instead."""
    with_wrong_items = {detail["loc"][0] for detail in details if len(detail["loc"]) > 1}
    for detail in details:
        key = str(detail["loc"][0])
        if detail["type"] == "too_short" and key in with_wrong_items:
            continue  # pydantic counts only the right items
        if detail["type"] == "extra_forbidden":
            near = did_you_mean(key, known)
            yield key, f"{key}: unknown key{near or '; `ensemble-uq init` lists the known ones'}"
        else:
            place = key + "".join(f"[{part}]" for part in detail["loc"][1:] if isinstance(part, int))
            found = repr(detail["input"])
            yield (
                key,
                f"{place}: {_in_words(detail)}, found {found if len(found) <= 80 else found[:77] + '...'}",
            )


def _in_words(detail: ErrorDetails) -> str:
    """Turn pydantic's sentence round so that it tells the user what to write."""
    if detail["type"] in _WORDS:
        return _WORDS[detail["type"]].format(**detail.get("ctx", {}))
    words = detail["msg"].replace("Input should be", "must be").replace("a valid ", "a ").replace("tuple", "list")
    return words.replace("a integer", "an integer")


def cross_problems(config: "Config") -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each combination of keys that cannot work: the keys, and what is wrong with them together."""
    if repeated := _repeated(config.seeds):
        yield ("seeds",), f"seeds: {repeated} given more than once; a member is its seed, so give each once"
    if config.num_ensemble_models is not None and config.num_ensemble_models > len(config.seeds):
        yield (
            ("num_ensemble_models", "seeds"),
            f"num_ensemble_models: {config.num_ensemble_models} members need as many seeds, and `seeds` has "
            f"{len(config.seeds)}; add seeds or lower it",
        )
    yield from _class_problems(config)
    if repeated := _repeated(config.lora_target_modules):
        yield ("lora_target_modules",), f"lora_target_modules: {repeated} given more than once"
    if repeated := _repeated(config.lora_layers or ()):
        yield ("lora_layers",), f"lora_layers: {repeated} given more than once"
    if (config.train_file is None) != (config.validation_file is None) and config.dataset == "synthetic":
        yield (
            ("train_file", "validation_file"),
            "train_file and validation_file: give both or neither; one of your own beside the embedded world's other "
            "split would be two different tasks",
        )
    if config.keep == "best" and config.calibration_fraction == 0:
        yield (
            ("keep", "calibration_fraction"),
            "keep: best chooses by a part of the calibration split, and nothing is held out; set calibration_fraction, "
            "such as 0.2",
        )
    if config.early_stopping_patience is not None and config.keep != "best":
        yield (
            ("early_stopping_patience", "keep"),
            "early_stopping_patience: stops by a member's best epoch, which is kept with keep: best only; set that",
        )
    if config.keep == "best" and config.calibration_fraction == 0:
        yield (
            ("keep", "calibration_fraction"),
            "keep: best chooses by a part of the calibration split, and nothing is held out; set calibration_fraction, "
            "such as 0.2",
        )
    if config.early_stopping_patience is not None and config.keep != "best":
        yield (
            ("early_stopping_patience", "keep"),
            "early_stopping_patience: stops by a member's best epoch, which is kept with keep: best only; set that",
        )
    if config.cut_column is not None and f"{{{config.cut_column}}}" not in config.prompt_template:
        yield (
            ("cut_column", "prompt_template"),
            f"cut_column: {config.cut_column!r} does not stand in prompt_template {config.prompt_template!r}; name the "
            "column whose end may be cut",
        )


def _class_problems(config: "Config") -> Iterator[tuple[tuple[str, ...], str]]:
    if config.class_names == FROM_DATA:
        return  # what follows is known once the data have been looked at
    if isinstance(config.class_weights, tuple) and len(config.class_weights) != config.num_labels:
        yield (
            ("class_weights", "num_labels"),
            f"class_weights: {len(config.class_weights)} weights for num_labels {config.num_labels}; give one a class",
        )
    if config.class_names is None:
        return
    if len(config.class_names) != config.num_labels:
        names = f"{len(config.class_names)} name{'' if len(config.class_names) == 1 else 's'}"
        yield (
            ("class_names", "num_labels"),
            f"class_names: {names} for num_labels {config.num_labels}; give one a class",
        )
    if repeated := _repeated(config.class_names):
        yield ("class_names",), f"class_names: {repeated} given more than once"
        return
    first: dict[object, str] = {}
    for name in config.class_names:
        if (other := first.setdefault(key_of(name), name)) != name:
            yield (
                ("class_names",),
                f"class_names: {other!r} and {name!r} are two spellings of one label; name them differently",
            )


def _repeated(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value, count in Counter(values).items() if count > 1)
