"""A table of predictions and the file that it came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.errors import DataError

MOST_COLUMNS: Final = 2**15
"""Of a table; what every column costs apart from its cells is then about a second."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TableFile:
    """A pyarrow table of rows as the file has them, and where a row stands."""

    path: Path
    table: Any
    place: Callable[[int], str]
    """Where a row stands, for a message: `line 7`."""


def check_width(names: Sequence[str]) -> None:
    """Raise DataError where a table has more columns than are read."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"there are {len(names):,} columns, and {MOST_COLUMNS:,} are read at most; give the numbers of all classes "
            "as a list in one column, `logits` or `probs`, of JSON lines or Parquet, or as an array in NPZ"
        )
