"""The keys of a configuration that say what the classes are: their values, and what is wrong with them together."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from ensemble_uq_llm.labels.class_names import FROM_DATA
from ensemble_uq_llm.labels.label_values import key_of
from ensemble_uq_llm.utils.key_types import Number
from ensemble_uq_llm.utils.text import clipped, counted, repeated_in

MOST_CLASSES: Final = 10_000
LONGEST_CLASS_NAME: Final = 256
MOST_LETTERS: Final = 100_000
"""Of all names together."""

_JOINERS: Final = {"\u200c", "\u200d"}
"""Invisible, and part of how Persian, Hindi and some emoji are written."""
_LIKE_A_NUMBER: Final = re.compile(r"[-+]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?")


def as_name(value: object) -> object:
    """Take a plain value of YAML, `true` or `5`, as the name that it spells."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def class_name_problem(name: str) -> str | None:
    """Return why a text cannot name a class; None where it can."""
    if name == "":
        return "must not be empty"
    if len(name) > LONGEST_CLASS_NAME:
        return f"must have at most {LONGEST_CLASS_NAME} characters"
    if any(not letter.isprintable() and letter not in _JOINERS for letter in name):
        return "must be visible: no control, bidi or zero-width characters, no odd spaces"
    return None


def _as_usable(name: str) -> str:
    if problem := class_name_problem(name):
        raise PydanticCustomError("class_name", "{problem}", {"problem": problem})
    return name


ClassName = Annotated[str, Field(strict=True), AfterValidator(_as_usable), BeforeValidator(as_name)]
ClassNamesKey = Annotated[
    Annotated[tuple[ClassName, ...], Field(max_length=MOST_CLASSES), Tag("names")]
    | Annotated[Literal["from_data"], Tag(FROM_DATA)],
    Discriminator(lambda value: FROM_DATA if value == FROM_DATA else "names"),
]
Weights = Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(max_length=MOST_CLASSES)]
ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("a word")] | Annotated[Weights, Tag("a list")],
    Discriminator(lambda value: "a list" if isinstance(value, list | tuple) else "a word"),
]


def class_problems(
    names: tuple[str, ...] | str | None, weights: tuple[float, ...] | str | None, number: int
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each combination of these keys that cannot work: the keys, and what is wrong with them together."""
    if names == FROM_DATA:
        return  # what follows is known once the data have been looked at
    if isinstance(weights, tuple) and len(weights) != number:
        yield (
            ("class_weights", "num_labels"),
            f"class_weights: {len(weights)} weights for num_labels {number}; give one a class",
        )
    if not isinstance(names, tuple):
        return
    if len(names) != number:
        yield (
            ("class_names", "num_labels"),
            f"class_names: {counted(len(names), 'name')} for num_labels {number}; give one a class",
        )
    if repeated := repeated_in(names):
        yield ("class_names",), f"class_names: {repeated} given more than once"
    elif problem := names_problem(names):
        yield ("class_names",), f"class_names: {problem}"


def names_problem(names: Sequence[str]) -> str | None:
    """Return why these cannot be the names of all classes, wherever they come from; None where they can."""
    if len(names) > MOST_CLASSES:
        return f"{len(names):,} classes; there may be {MOST_CLASSES:,} at most"
    for name in names:
        if problem := class_name_problem(name):
            return f"{clipped(name)} {problem}"
    if (letters := sum(map(len, names))) > MOST_LETTERS:
        return f"{letters:,} letters in all; there may be {MOST_LETTERS:,} at most, so shorten them"
    for seen, what in ((key_of, "are two spellings of one label"), (_look, "look alike")):
        if pair := _first_alike(names, seen):
            return f"{' and '.join(map(clipped, pair))} {what}; name them differently"
    return None


def _first_alike(names: Sequence[str], seen: Callable[[str], object]) -> tuple[str, str] | None:
    first: dict[object, str] = {}
    for name in names:
        if (other := first.setdefault(seen(name), name)) != name:
            return other, name
    return None


def _look(name: str) -> object:
    """Return what a reader sees of a name: not how many spaces, which form of a letter, or how a number is written."""
    plain = " ".join(unicodedata.normalize("NFKC", name).split())
    return Decimal(plain) if _LIKE_A_NUMBER.fullmatch(plain) else plain
