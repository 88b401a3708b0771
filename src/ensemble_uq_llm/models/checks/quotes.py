"""What a library says of a stranger's file, quoted at a bearable length: it may quote the file, at any length."""

from typing import Final

from ensemble_uq_llm.utils.text import cut, first_line

LONGEST_QUOTE: Final = 400


def quoted(error: BaseException) -> str:
    """Return the first line of what a library says, clipped."""
    return cut(first_line(error), LONGEST_QUOTE)
