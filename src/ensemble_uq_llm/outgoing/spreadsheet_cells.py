"""Cells of CSV files that no spreadsheet takes for a formula."""

import re
from typing import Any, Final

from ensemble_uq_llm.outgoing.visible import visible

_FORMULA: Final = re.compile(r"[\s']*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""Behind spaces and apostrophes too; the last four are the wide forms of the first."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf|nan)", re.IGNORECASE | re.ASCII)


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file: a text that a spreadsheet would compute gets an apostrophe in front.

    Numbers stay numbers, also negative ones that are texts, and what cannot be seen is shown, but for line breaks.
    """
    if not isinstance(value, str):
        return value
    text = visible(value, keep="\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
