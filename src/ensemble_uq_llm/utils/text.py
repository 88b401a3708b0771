"""Words in messages: values clipped to a readable length, names listed, things counted."""

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ensemble_uq_llm.outgoing.redaction import redacted

CLIP: Final = 80
_LOOKED_AT: Final = 4_000
"""Characters of a text that are searched for secrets, of which `CLIP` are shown."""
MOST_REPEATED: Final = 12


def clipped(value: Any) -> str:
    """Return a value as an error message shows it: at most about 80 characters, containers by name."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        value = redacted(value[:_LOOKED_AT])  # see `cut`
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= CLIP else f"{value[:CLIP]!r}..."
    shown = repr(value)
    return shown if len(shown) <= CLIP else f"{shown[:CLIP]}..."


def cut(text: str, most: int = CLIP) -> str:
    """Return a text as it is, its end left out where it is long.

    Secrets go before that: of half a secret nobody can tell any more that it is one.
    """
    text = redacted(text[: most + _LOOKED_AT])
    return text if len(text) <= most else f"{text[:most]}..."


def listed(names: Iterable[Any], most: int = 12) -> str:
    """Return names in quotes with commas between them, the tail of a long list as a count."""
    names = list(names)
    shown = ", ".join(clipped(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def enumerated(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Return a number of things: `1 example`, `3,270 examples`; `several` is a plural that is not made with an s."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def as_word(path: str | os.PathLike[str]) -> str:
    """Return a path as a word of a command that is to be typed: in quotes where the shell needs them, and no option."""
    text = os.fspath(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def repeated_in(values: Sequence[object]) -> str:
    """Return the first values that stand there more than once, with commas between them; empty where none does."""
    repeated = [str(value) for value, count in Counter(values).items() if count > 1]
    shown = ", ".join(repeated[:MOST_REPEATED])
    return shown if len(repeated) <= MOST_REPEATED else f"{shown} and {len(repeated) - MOST_REPEATED:,} more"


def duration(seconds: float) -> str:
    """Return a time in its two largest units: `2 h 5 min`, `3 min 20 s`, `45 s`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{minutes // 60:,} h {minutes % 60} min"


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says of its error; the rest is for its developers.

    A line that ends in a colon only announces the reason, which is on the next one.
    """
    first, *others = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {others[0].strip()}" if first.endswith(":") and others else first
