"""Every stage ends with the command that comes next, to be copied as it is."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from ensemble_uq_llm.printing import console_for
from ensemble_uq_llm.utils.text import as_word


def say_next(command: str, *words: str | Path, overrides: Sequence[str] | None = None) -> None:
    """Print the next command, with paths in quotes where the shell needs them."""
    console_for(as_json=False).print(f"next: {as_typed(command, *words, overrides=overrides)}", soft_wrap=True)


def as_typed(command: str, *words: str | Path, overrides: Sequence[str] | None = None) -> str:
    """Return a command as a shell takes it."""
    typed = [as_word(word) if isinstance(word, Path) else shlex.quote(word) for word in words]
    return " ".join(["ensemble-uq", command, *typed, *map(shlex.quote, _options(overrides or ()))])


def _options(overrides: Iterable[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]
