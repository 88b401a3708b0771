"""A table of numbers for terminals of any width: no number is ever cut, and columns that do not fit go below."""

from collections.abc import Iterator
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from ensemble_uq_llm.outgoing.safe_console import safe
from ensemble_uq_llm.outgoing.safe_text import safe_text

RULE: Final = box.Box(str(box.SIMPLE_HEAD), ascii=True)
"""One line below the header. Where the encoding has no such line the stream shows hyphens, and rich nothing else."""

GAPS: Final = (3, 2, 1)
"""Spaces between columns, tried in this order."""

WIDEST_NAMES: Final = 0.45
"""The share of the width beyond which names are broken between words."""


class FittingTable:
    """A first column of names, which are broken between words where need be, and columns of numbers, which are not.

    Where the columns do not fit beside each other, the table goes on below with the names again.
    """

    def __init__(self, first: str, *others: str) -> None:
        self._header = tuple(safe_text(name, keep="\n") for name in (first, *others))
        self._rows: list[tuple[Text, ...]] = []
        self.caption = ""
        """A line below the table."""

    def add_row(self, *cells: str | Text) -> None:
        """Add a row: its name, then a cell for each other column."""
        self._rows.append(tuple(safe(cell if isinstance(cell, Text) else Text(cell)) for cell in cells))

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The header and the rows as texts."""
        return [
            tuple(" ".join(name.split()) for name in self._header),
            *(tuple(c.plain for c in r) for r in self._rows),
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the table, in as many parts as the width asks for."""
        yield ""
        parts = self._parts(options.max_width)
        for number, (columns, names, gap) in enumerate(parts, start=1):
            table = self._part(columns, names, gap)
            if number == len(parts) and self.caption:
                table.caption, table.caption_justify = self.caption, "left"
            yield table
            yield ""

    def _parts(self, width: int) -> list[tuple[list[int], int, int]]:
        """Return for each part its columns beside the names, the names' width, and the gap between columns."""
        natural, least = self._width(0), self._longest_name()
        everything = [*range(1, len(self._header))]
        for gap in GAPS:
            room = width - sum(self._width(column) + gap for column in everything)
            if room >= (natural if gap > 1 else least):
                return [(everything, min(natural, room), gap)]
        names = min(natural, max(least, int(WIDEST_NAMES * width)))
        parts: list[list[int]] = [[]]
        for column in everything:
            if parts[-1] and names + sum(self._width(each) + 1 for each in [*parts[-1], column]) > width:
                parts.append([])
            parts[-1].append(column)
        return [(part, names, 1) for part in parts]

    def _part(self, columns: list[int], names: int, gap: int) -> Table:
        table = Table(box=RULE, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="bold")
        table.add_column(self._header[0], width=names)
        for column in columns:
            table.add_column(self._header[column], width=self._width(column), justify="right")
        for row in self._rows:
            table.add_row(row[0], *(row[column] for column in columns))
        return table

    def _width(self, column: int) -> int:
        """Return the width of the widest cell; of the header above numbers only that of its longest word."""
        header = self._header[column]
        cells = [cell_len(line) for row in self._rows for line in row[column].plain.splitlines()]
        return max(_longest_word(header) if column else cell_len(header), *cells, 1)

    def _longest_name(self) -> int:
        return max(_longest_word(text) for text in [self._header[0], *(row[0].plain for row in self._rows)])


def _longest_word(text: str) -> int:
    return max((cell_len(word) for word in text.split()), default=0)
