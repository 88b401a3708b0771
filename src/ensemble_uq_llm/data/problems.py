"""What is wrong with one data source: all of it is collected, and raised once as a DataError."""

from typing import Any, Final, Never

from ensemble_uq_llm.errors import DataError

MOST_SHOWN: Final = 10
CLIP: Final = 80


class Problems:
    """Collects `source:line: message` lines; shows the first ten and counts the rest."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._shown: list[str] = []
        self._count = 0

    def add(self, line: int, message: str) -> None:
        """Note one problem at a line (counted from 1)."""
        self._count += 1
        if self._count <= MOST_SHOWN:
            self._shown.append(f"{self.source}:{line}: {message}")

    def stop(self, line: int, message: str) -> Never:
        """Raise DataError for everything so far and one problem after which reading on is pointless."""
        self._shown.append(f"{self.source}:{line}: {message}")
        raise DataError("\n".join(self._shown))

    def raise_if_any(self) -> None:
        """Raise DataError if a problem was noted."""
        if not self._count:
            return
        hidden = self._count - len(self._shown)
        more = [f"and {hidden:,} more"] if hidden else []
        raise DataError("\n".join(self._shown + more))


def clipped(value: Any) -> str:
    """Return a value as an error message shows it: at most about 80 characters, containers by name."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= CLIP else f"{value[:CLIP]!r}..."
    shown = repr(value)
    return shown if len(shown) <= CLIP else f"{shown[:CLIP]}..."


def listed(names: Any, most: int = 12) -> str:
    """Return names in quotes with commas between them, the tail of a long list as a count."""
    names = list(names)
    shown = ", ".join(clipped(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
