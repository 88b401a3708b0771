"""One question with its options, wherever its file or data set holds them."""

from dataclasses import dataclass

from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.labels.option_letters import LETTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRecord(Record):
    """A row whose values lie flat, the options among them as the lines of a prompt."""

    options: tuple[str, ...]
    """In the order of the row, which is that of the letters."""
    keys: tuple[str, ...] = ()
    """What the row itself calls them, such as `1` to `4`; empty where it does not."""

    @property
    def letters(self) -> str:
        """The letters of the options in words: `A to D`."""
        return f"A to {LETTERS[max(len(self.options), 1) - 1]}"
