"""Rows of any layout -> questions with options by letter; what is wrong with the options is said with its line."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_uq_llm.data.choices.choice_record import ChoiceRecord
from ensemble_uq_llm.data.choices.layouts import LAYOUTS, Layout, find_layout
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.labels.option_letters import FEWEST_OPTIONS, LETTERS, OPTIONS_FIELD, AnswerForm, lettered
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, counted, listed, repeated_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The rows of one source as questions with options."""

    records: list[ChoiceRecord]
    answer_column: str | None
    """Where the layout has the answer; None for other layouts than the official ones."""
    answer_form: AnswerForm | None


def as_choices(
    records: Sequence[Record], option_columns: Sequence[str], class_names: Sequence[str], problems: Problems
) -> Choices | None:
    """Return rows as questions with options; None where a plain text column happens to be called `options`.

    Args:
        records: the rows, at least one.
        option_columns: the columns of the options, or the one with a list of them; empty: as the official layouts
            have them, or a list in `options`.
        class_names: the letters, as many as there may be options.
        problems: gets what is wrong, row by row.

    Raises:
        DataError: the rows are of no layout, or the classes are no letters.
    """
    first = next(filter(_shows_where_options_are, records), records[0])
    layout = None if option_columns else find_layout(first.values)
    if not option_columns and layout is None and first.values.get(OPTIONS_FIELD) is not None:
        if _is_plain_text([record.values.get(OPTIONS_FIELD) for record in records]):
            return None
        option_columns = (OPTIONS_FIELD,)
    if layout is None:
        _check_columns(option_columns, records, problems)
    if tuple(class_names) != LETTERS[: len(class_names)]:
        problems.stop(
            first.line,
            f"the rows are questions with options, whose classes are the letters from A, and class_names are "
            f"{listed(class_names)}; delete class_names",
        )
    rows = [_record(record, layout, option_columns, len(class_names), problems) for record in records]
    _warn_of_equal(rows, problems.source)
    return Choices(
        records=rows,
        answer_column=layout.answer_column if layout else None,
        answer_form=layout.answer_form if layout else None,
    )


def _shows_where_options_are(record: Record) -> bool:
    return record.values.get(OPTIONS_FIELD) is not None or find_layout(record.values) is not None


def _is_plain_text(values: Sequence[Any]) -> bool:
    """Whether a column called `options` holds no list in any row, nor begins with one that is written as JSON."""
    texts = [value for value in values if value is not None]
    return all(isinstance(text, str) for text in texts) and not texts[0].lstrip().startswith("[")


def _check_columns(option_columns: Sequence[str], records: Sequence[Record], problems: Problems) -> None:
    present = dict.fromkeys(name for record in records for name in record.values)
    line = records[0].line
    if not option_columns:
        known = "; ".join(layout.name for layout in LAYOUTS)
        problems.stop(
            line,
            f"prompt_template names {{{OPTIONS_FIELD}}}, and the row is of no layout that is known ({known}); name the "
            f"columns of its options with option_columns, it has {listed(list(present))}",
        )
    for name in option_columns:
        if name not in present:
            hint = did_you_mean(name, present) or f"; the rows have {listed(list(present))}"
            problems.add(line, f"no row has the field {name!r}{hint}; see option_columns")
    problems.raise_if_any()


def _record(
    record: Record, layout: Layout | None, option_columns: Sequence[str], classes: int, problems: Problems
) -> ChoiceRecord:
    """Return a row with its options; with none where something is wrong with them, which `problems` get."""
    try:
        if layout is not None:
            flat, given, keys = _of_layout(record.values, layout)
        else:
            flat, given, keys = dict(record.values), _of_columns(record.values, option_columns), ()
        options = _as_texts(given)
        _check_number(options, keys, classes)
    except _WrongOptionsError as error:
        problems.add(record.line, str(error))
        flat, options, keys = dict(record.values), (), ()
    return ChoiceRecord(line=record.line, values={**flat, OPTIONS_FIELD: lettered(options)}, options=options, keys=keys)


class _WrongOptionsError(ValueError):
    """What is wrong with the options of one row."""


def _of_layout(values: Mapping[str, Any], layout: Layout) -> tuple[dict[str, Any], Sequence[Any], tuple[str, ...]]:
    if not layout.fits(values):
        raise _WrongOptionsError(f"the row is not of the file's layout, {layout.name}; bring all rows into one")
    given = () if layout.keys is None else layout.keys(values)
    if None in given:
        raise _WrongOptionsError("an option has no label; give each its own, such as A")
    keys = tuple(str(key).strip() for key in given)
    if repeated := repeated_in(keys):
        raise _WrongOptionsError(f"two options have the label {clipped(repeated)}; give each its own")
    options = layout.options(values)
    if not isinstance(options, list | tuple):
        raise _WrongOptionsError(f"the options are {clipped(options)}; they must be a list ({layout.name})")
    return layout.flat(values), options, keys


def _of_columns(values: Mapping[str, Any], columns: Sequence[str]) -> Sequence[Any]:
    """Return the options of a row: the list in the one column, or the cells of several but empty ones at the end."""
    if len(columns) > 1:
        cells = [values.get(name) for name in columns]
        while cells and cells[-1] in (None, ""):
            cells.pop()
        return cells
    [name] = columns
    value = values.get(name)
    if isinstance(value, str):  # as a CSV file has a list
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list | tuple):
        found = "missing" if name not in values else "null" if values[name] is None else clipped(values[name])
        raise _WrongOptionsError(
            f"the field {name!r} is {found}; it must be a list of options, or name several columns (option_columns)"
        )
    return value


def _as_texts(given: Sequence[Any]) -> tuple[str, ...]:
    texts = []
    for letter, option in zip(_names(len(given)), given, strict=True):
        is_number = isinstance(option, int | float) and not isinstance(option, bool) and math.isfinite(option)
        text = str(option) if is_number else option
        if text is None or (isinstance(text, str) and not text.strip()):
            raise _WrongOptionsError(f"option {letter} is empty; every option needs text")
        if not isinstance(text, str):
            raise _WrongOptionsError(f"option {letter} is {clipped(option)}; it must be text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _WrongOptionsError(f"option {letter} holds half of a surrogate pair; write the whole character")
        texts.append(text)
    return tuple(texts)


def _names(count: int) -> Sequence[str]:
    return LETTERS[:count] if count <= len(LETTERS) else [str(number) for number in range(1, count + 1)]


def _check_number(options: Sequence[str], keys: Sequence[str], classes: int) -> None:
    found = counted(len(options), "option")
    if len(options) < FEWEST_OPTIONS:
        raise _WrongOptionsError(f"the row has {found}; a choice needs {FEWEST_OPTIONS} at least")
    if len(options) > len(LETTERS):
        raise _WrongOptionsError(f"the row has {found}; there are letters for {len(LETTERS)} at most")
    if len(options) > classes:
        raise _WrongOptionsError(f"the row has {found}, and num_labels is {classes}; set num_labels: {len(options)}")
    if keys and len(keys) != len(options):
        raise _WrongOptionsError(f"the row has {found} and {counted(len(keys), 'label')} of options; give one each")


def _warn_of_equal(rows: Sequence[ChoiceRecord], source: str) -> None:
    equal = [row for row in rows if len({option.strip() for option in row.options}) < len(row.options)]
    if equal:
        twice = repeated_in([option.strip() for option in equal[0].options])
        warnings.warn(
            f"{source}: {counted(len(equal), 'row')} with two equal options, first in line {equal[0].line}: "
            f"{clipped(twice)}; nobody can choose between them",
            stacklevel=4,
        )
