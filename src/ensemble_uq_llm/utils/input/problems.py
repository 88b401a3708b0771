"""What is wrong with one data source: all of it is collected, and raised once as a DataError."""

from typing import Final, Never

from ensemble_uq_llm.errors import DataError

MOST_SHOWN: Final = 10


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
