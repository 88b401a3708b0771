"""What is wrong with the values of keys, by themselves and together, in words that tell the user what to write."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.labels.answer_keys import answer_problems
from ensemble_uq_llm.labels.class_keys import class_problems
from ensemble_uq_llm.labels.option_keys import option_problems
from ensemble_uq_llm.utils.key_types import MOST_GENERATED
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import CLIP, clipped, counted, cut, repeated_in

MOST_PROBLEMS: Final = 50
"""So many are told, the others counted."""

_WORDS: Final = {
    "path_type": "must be a path (quote one that looks like a number)",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must not be empty; delete the line, or write null where that is allowed",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length:,}",
    "string_too_long": "must have at most {max_length:,} characters",
    "string_unicode": "must be text without halves of characters (surrogates)",
    "int_parsing_size": "must be an integer of fewer digits",
}
"""What to say instead of pydantic's words, by the type of its error."""


class RaisesOurErrors(type(BaseModel)):  # type: ignore[misc]  # pydantic's metaclass has no public name
    """The metaclass of a record of keys whose making raises ConfigError, with every problem in words."""

    def __call__(cls, **values: Any) -> Any:
        """Make the record, or raise ConfigError."""
        problems = [text for _, text in unknown_keys(values, cls.model_fields)]
        known = {key: value for key, value in values.items() if key in cls.model_fields}
        try:
            config = super().__call__(**known)
            if not problems:
                return config
        except ValidationError as error:
            details = error.errors()
            problems += [text for _, text in field_problems([each for each in details if each["loc"]])]
            problems += [each["msg"].removeprefix("Value error, ") for each in details if not each["loc"]]
        raise ConfigError("\n".join(told(problems)))


def told(problems: Iterable[str]) -> list[str]:
    """Return the problems that are told, and last the number of the others."""
    rest = iter(problems)
    shown = list(itertools.islice(rest, MOST_PROBLEMS))
    more = sum(1 for _ in rest)
    return [*shown, f"and {counted(more, 'problem')} more"] if more else shown


def unknown_keys(keys: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each key that there is none of, and what to say of it."""
    hints = itertools.count()
    for key in keys:
        if key not in known:
            near = did_you_mean(key, known) if next(hints) < MOST_PROBLEMS else ""  # the others are only counted
            yield key, f"{cut(key)}: unknown key{near or '; `ensemble-uq init` lists the known ones'}"


def field_problems(details: Sequence[ErrorDetails]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with each key, as the user wrote it: the key, and what to write instead."""
    with_wrong_items = {detail["loc"][0] for detail in details if len(detail["loc"]) > 1}
    for detail in details:
        key = str(detail["loc"][0])
        if detail["type"] == "too_short" and key in with_wrong_items:
            continue  # pydantic counts only the right items
        place = key + "".join(f"[{part}]" for part in detail["loc"][1:] if isinstance(part, int))
        yield key, f"{place}: {_in_words(detail)}, found {_found(detail['input'])}"


def _found(value: Any) -> str:
    try:
        found = repr(value) if not isinstance(value, str) else clipped(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return found if len(found) <= CLIP else cut(found, CLIP - 3)


def _in_words(detail: ErrorDetails) -> str:
    """Turn pydantic's sentence round so that it tells the user what to write."""
    if detail["type"] in _WORDS:
        return _WORDS[detail["type"]].format(**detail.get("ctx", {}))
    words = detail["msg"].replace("Input should be", "must be").replace("a valid ", "a ").replace("tuple", "list")
    return words.replace("a integer", "an integer")


def cross_problems(config: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each combination of keys of a `Config` that cannot work: the keys, and what is wrong with them together."""
    if repeated := repeated_in(config.seeds):
        yield ("seeds",), f"seeds: {repeated} given more than once; a member is its seed, so give each once"
    if config.num_ensemble_models is not None and config.num_ensemble_models > len(config.seeds):
        yield (
            ("num_ensemble_models", "seeds"),
            f"num_ensemble_models: {config.num_ensemble_models} members need as many seeds, and `seeds` has "
            f"{len(config.seeds)}; add seeds or lower it",
        )
    if config.bootstrap is not None and len(config.member_seeds) < 2:
        yield (
            ("bootstrap", "seeds", "num_ensemble_models"),
            "bootstrap: leaves each row out of some members and in the others, and there is one member; give two seeds "
            "or more",
        )
    yield from class_problems(config.class_names, config.class_weights, config.num_labels)
    yield from answer_problems(config)
    yield from option_problems(config)
    if repeated := repeated_in(config.lora_target_modules):
        yield ("lora_target_modules",), f"lora_target_modules: {repeated} given more than once"
    if repeated := repeated_in(config.lora_layers or ()):
        yield ("lora_layers",), f"lora_layers: {repeated} given more than once"
    for key, file in (("max_train_examples", "train_file"), ("max_validation_examples", "validation_file")):
        is_generated = config.dataset == "synthetic" and getattr(config, file) is None
        if is_generated and (getattr(config, key) or 0) > MOST_GENERATED:
            yield (key, "dataset"), f"{key}: the embedded world makes at most {MOST_GENERATED:,} examples; lower it"
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
    if config.cut_column is not None and f"{{{config.cut_column}}}" not in config.prompt_template:
        yield (
            ("cut_column", "prompt_template"),
            f"cut_column: {clipped(config.cut_column)} does not stand in prompt_template "
            f"{clipped(config.prompt_template)}; name the "
            "column whose end may be cut",
        )
