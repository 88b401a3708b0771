"""The column of the labels: every value's class, and what is wrong with them, counted by value."""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.labels.class_names import ClassNames, NotAClassError
from ensemble_uq_llm.labels.label_values import ClassCode, key_of
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.text import clipped, counted, listed

MOST_VALUES: Final = 8
"""So many wrong values are named, the others counted."""

NEEDED: Final = "every row needs a label"
KEYS: Final = "(label_column, class_names)"


@dataclass(slots=True)
class WrongValue:
    """A value that means no class, where it stands first, and how often."""

    shown: str
    why: str
    line: int
    times: int = 1


@dataclass(slots=True)
class LabelColumn:
    """Reads the labels of one source; `report` says what was wrong with them."""

    name: str
    classes: ClassNames
    is_required: bool
    """Whether a row without a label is wrong too, or just unlabelled."""
    _wrong: dict[Hashable, WrongValue] = field(default_factory=dict)
    _notes: dict[str, None] = field(default_factory=dict)

    def read(self, record: Record) -> int | None:
        """Return the class of a row; None where it has no label, or one that is wrong."""
        value = record.values.get(self.name)
        if is_missing(value):
            if self.is_required:
                shown = "missing" if self.name not in record.values else _shown(value)
                self._note(shown, NEEDED, record.line)
            return None
        try:
            index = self.classes.index_of(value)
        except NotAClassError as error:
            self._note(_shown(value), str(error), record.line)
            return None
        self._note_reading(value)
        return index

    def report(self, problems: Problems) -> None:
        """Add one problem for all values that are wrong, at the first one's line; warn of what was only understood."""
        if self._wrong:
            first = next(iter(self._wrong.values()))
            problems.add(first.line, self._in_words(list(self._wrong.values())))
        for note in self._notes:
            warnings.warn(f"{problems.source}: the field {self.name!r} (label_column): {note}", stacklevel=4)

    def _note(self, shown: str, why: str, line: int) -> None:
        if (known := self._wrong.get(shown)) is not None:
            known.times += 1
        else:
            self._wrong[shown] = WrongValue(shown, why, line)

    def _note_reading(self, value: Any) -> None:
        names = self.classes.names
        if isinstance(value, ClassCode):
            if not self.classes.knows_code(value) and names not in (("no", "yes"), _counted_names(len(names))):
                self._notes[f"the data's own names {listed(value.names)} are read as {listed(names)}, by number"] = None
        elif self.classes.truth_by_order and names != ("0", "1"):
            key = key_of(value)
            if key is not None and key[0] == "truth":
                note = f"false is read as the first of class_names, {names[0]!r}, and true as the second, {names[1]!r}"
                self._notes[note] = None

    def _in_words(self, wrong: Sequence[WrongValue]) -> str:
        total = sum(each.times for each in wrong)
        shown = [f"{each.shown} {counted(each.times, 'time')}" for each in wrong[:MOST_VALUES]]
        if len(wrong) > MOST_VALUES:
            more = sum(each.times for each in wrong[MOST_VALUES:])
            shown.append(f"{counted(len(wrong) - MOST_VALUES, 'other value')} {counted(more, 'time')}")
        values = wrong[0].shown if total == 1 else ", ".join(shown)
        reasons = list(dict.fromkeys(each.why for each in wrong if each.why))[:MOST_VALUES]
        held, allowed = f"the field {self.name!r} is {values}", self.classes.in_words
        if reasons == [NEEDED]:
            return f"{held}; {NEEDED}: {allowed} {KEYS}"
        return "; ".join([held, f"a label is {allowed}", *reasons]) + f" {KEYS}"


def is_missing(value: Any) -> bool:
    """Whether a value says that there is no label: null, an empty text, or Hugging Face's class -1."""
    return value is None or value == "" or (isinstance(value, ClassCode) and value.index == -1)


def _counted_names(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and value != value:
        return "NaN (for an unlabelled row write null)"
    return clipped(value)
