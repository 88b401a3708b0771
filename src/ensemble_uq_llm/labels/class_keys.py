"""The keys of a configuration that say what the classes are: their values, and what is wrong with them together."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from ensemble_uq_llm.labels.class_names import FROM_DATA
from ensemble_uq_llm.labels.label_values import key_of
from ensemble_uq_llm.utils.key_types import Number
from ensemble_uq_llm.utils.text import counted, repeated_in


def _as_name(value: object) -> object:
    """Take a plain value of YAML, `true` or `5`, as the name that it spells."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


ClassName = Annotated[str, Field(strict=True, min_length=1), BeforeValidator(_as_name)]
ClassNamesKey = Annotated[
    Annotated[tuple[ClassName, ...], Tag("names")] | Annotated[Literal["from_data"], Tag(FROM_DATA)],
    Discriminator(lambda value: FROM_DATA if value == FROM_DATA else "names"),
]
Weights = tuple[Annotated[Number, Field(gt=0)], ...]
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
        return
    first: dict[object, str] = {}
    for name in names:
        if (other := first.setdefault(key_of(name), name)) != name:
            yield (
                ("class_names",),
                f"class_names: {other!r} and {name!r} are two spellings of one label; name them differently",
            )
