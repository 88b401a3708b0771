"""What is printed reaches every stream: a character that its encoding lacks becomes a plain one, never an error."""

import codecs
import sys
from typing import Final

PLAIN: Final = {
    "\N{UPWARDS ARROW}": "^",
    "\N{DOWNWARDS ARROW}": "v",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{EM DASH}": "-",
    "\N{EN DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{MIDDLE DOT}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-",
}
"""What stands in for our own characters where they cannot be shown; others appear by their number, as in Python."""

_HANDLER: Final = "ensemble-uq-plain"


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what cannot be encoded: the handler of `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = error.object[error.start]
    if first in PLAIN:
        return PLAIN[first], error.start + 1
    return codecs.backslashreplace_errors(
        UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    )


codecs.register_error(_HANDLER, _plain)


def forgive_encodings() -> None:
    """From now on standard output and standard error show what they can, and never fail on a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def can_show(text: str) -> bool:
    """Tell whether the encoding of standard output has every character of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
