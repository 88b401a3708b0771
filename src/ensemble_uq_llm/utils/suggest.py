"""Did-you-mean: the known name nearest to a mistyped one."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest known name, or an empty string if none is near."""
    nearest = difflib.get_close_matches(name.lower(), {k.lower(): k for k in known}, n=1, cutoff=0.6)
    if not nearest:
        return ""
    return f"; did you mean {nearest[0]!r}?"
