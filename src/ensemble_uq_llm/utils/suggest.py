"""Did-you-mean: the known name nearest to a mistyped one."""

import difflib
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 255
"""A longer name is no slip of a finger; the search takes the square of the length."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest known name, or an empty string if none is near."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near is not None else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to a mistyped one; None if none is near."""
    if len(name) > LONGEST:
        return None
    by_lower = {each.lower(): each for each in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None
