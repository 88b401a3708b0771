"""The letters of multiple choice: A is the first option of every question, and so the first class."""

import string
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

LETTERS: Final = tuple(string.ascii_uppercase)
FEWEST_OPTIONS: Final = 2
OPTIONS_FIELD: Final = "options"
"""The field of the prompt where a question's options stand, a line each."""

AnswerForm: TypeAlias = Literal["letter", "index", "number", "text"]
"""How an answer names its option: by letter, counted from 0, counted from 1, or by the option's own words."""


def names_options(template: str) -> bool:
    """Return whether a prompt's template shows options, so that the classes are their letters."""
    return f"{{{OPTIONS_FIELD}}}" in template


def lettered(options: Sequence[str]) -> str:
    """Return options as they stand in a prompt: `A. the first`, a line each."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
