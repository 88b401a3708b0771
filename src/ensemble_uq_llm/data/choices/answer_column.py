"""Which option an answer means: by the row's own keys, by letter, by its number, or by the option's words."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ensemble_uq_llm.data.choices.choice_record import ChoiceRecord
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.data.reading.label_column import is_missing
from ensemble_uq_llm.labels.label_values import ClassCode, key_of
from ensemble_uq_llm.labels.option_letters import LETTERS, AnswerForm
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, counted


class NotAnOptionError(ValueError):
    """An answer names none of the options; the message says why, where there is more to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerColumn:
    """Reads the answers of one source, as `LabelColumn` reads labels; problems stand at their own lines."""

    name: str
    form: AnswerForm | None
    is_required: bool
    problems: Problems

    def read(self, record: Record) -> int | None:
        """Return the index of the option that a row's answer means; None where it has no answer, or a wrong one."""
        value = record.values.get(self.name)
        if not isinstance(record, ChoiceRecord) or not record.options:
            return None  # its problem is told already
        if is_missing(value):
            if self.is_required:
                shown = "missing" if self.name not in record.values else "null" if value is None else clipped(value)
                self.problems.add(record.line, f"the field {self.name!r} is {shown}; every row needs an answer")
            return None
        try:
            return option_of(value, record, self.form)
        except NotAnOptionError as error:
            why = f"; {error}" if str(error) else ""
            has = f"the row has {counted(len(record.options), 'option')}, {record.letters}"
            keys = "(label_column, answer_form)"
            self.problems.add(record.line, f"the field {self.name!r} is {clipped(value)}, and {has}{why} {keys}")
            return None

    def report(self, problems: Problems) -> None:
        """Do nothing: every problem was added where it was found."""


def option_of(value: Any, record: ChoiceRecord, form: AnswerForm | None) -> int:
    """Return the index of the option that an answer means.

    With a form it is that. Without one: the row's own key; else a letter or the option's words, if these do not mean
    two options. A number is none of them, for it may be counted from 0 or from 1.

    Raises:
        NotAnOptionError: it means no option, or could mean two.
    """
    if isinstance(value, ClassCode):
        return _inside(value.index, record)
    if value != value:
        raise NotAnOptionError("NaN is no answer; for an unlabelled row write null")
    text = str(value).strip()
    if form is None and record.keys:
        if text not in record.keys:
            raise NotAnOptionError(f"which it calls {', '.join(map(clipped, record.keys))}")
        return record.keys.index(text)
    if form == "letter":
        return _by_letter(text, record)
    if form == "text":
        return _by_words(text, record)
    if form is not None:
        return _by_number(value, record, first=0 if form == "index" else 1)
    return _by_either(value, text, record)


def _by_either(value: Any, text: str, record: ChoiceRecord) -> int:
    found = {}
    for name, reading in (("its letter", _by_letter), ("its words", _by_words)):
        try:
            found[name] = reading(text, record)
        except NotAnOptionError:
            continue
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    if found:
        raise NotAnOptionError("by letter and by words it means two of them; set answer_form: letter or text")
    key = key_of(value)
    if key is not None and key[0] == "number":
        raise NotAnOptionError("a number may be counted from 0 or from 1; set answer_form: index or number")
    raise NotAnOptionError(did_you_mean(text, record.options).removeprefix("; "))


def _by_letter(text: str, record: ChoiceRecord) -> int:
    if len(text) != 1 or not text.isascii() or text.upper() not in LETTERS:
        raise NotAnOptionError("an answer is one letter; set answer_form to index, number or text if it is another")
    return _inside(LETTERS.index(text.upper()), record)


def _by_words(text: str, record: ChoiceRecord) -> int:
    found = [index for index, option in enumerate(record.options) if option.strip() == text]
    if not found:
        raise NotAnOptionError(
            did_you_mean(text, record.options).removeprefix("; ") or "an answer is an option's words"
        )
    if len(found) > 1:
        raise NotAnOptionError("several options have these words; name the option by letter or number")
    return found[0]


def _by_number(value: Any, record: ChoiceRecord, *, first: int) -> int:
    key = key_of(value.strip() if isinstance(value, str) else value)
    if key is None or key[0] != "number" or (number := Decimal(key[1])) != int(number):
        raise NotAnOptionError(f"an answer is a whole number from {first}")
    return _inside(int(number) - first, record, counted_from=first)


def _inside(index: int, record: ChoiceRecord, *, counted_from: int | None = None) -> int:
    if not 0 <= index < len(record.options):
        how = "" if counted_from is None else f"counted from {counted_from} "
        others = {0: "; if the file counts from 1, set answer_form: number", 1: "; if from 0, set answer_form: index"}
        hint = others.get(counted_from, "") if counted_from is not None else ""
        raise NotAnOptionError(f"{how}it is beyond them{hint}")
    return index
