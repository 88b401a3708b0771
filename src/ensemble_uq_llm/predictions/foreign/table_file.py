"""A table of predictions and the file that it came from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class TableFile:
    """A pyarrow table of rows as the file has them, and where a row stands."""

    path: Path
    table: Any
    place: Callable[[int], str]
    """Where a row stands, for a message: `line 7`."""
