"""Rows -> examples: which columns a row must have, and what its values may be."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.data.reading.problems import Problems
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

LABEL_COLUMNS: Final = ("answer", "label")  # official BoolQ, SuperGLUE
ID_COLUMNS: Final = ("id", "idx")
TRUE_FALSE: Final = {"false": 0, "true": 1}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a row holds what an example needs."""

    prompt: tuple[str, ...]
    """The text columns that the prompt template names."""
    label: str | None = None
    """None: `answer` or `label`, whichever the rows have."""
    id: str | None = None
    """None: `id` or `idx`, whichever the rows have, or else the row's number from 0."""
    class_names: tuple[str, ...] = ("no", "yes")
    """In the order of the class indices; of two classes the first is false and the second is true."""
    require_labels: bool = True
    """Whether a row without a label is an error, or an example with the label None."""
    label_may_be_absent: bool = False
    """Whether rows without the column that `label` names are unlabelled; else the name is taken for a mistake."""


def examples_from_records(records: Sequence[Record], columns: Columns, *, source: str) -> list[Example]:
    """Return one example a row, in order.

    `source` is the origin that errors name. Raises DataError with up to ten problems, each as
    `source:line: what is wrong and what to do`.
    """
    if not records:
        raise DataError(f"{source}: holds no rows; it must hold at least one")
    problems = Problems(source)
    columns = _settled(columns, records, problems)
    examples = [_example(record, index, columns, problems) for index, record in enumerate(records)]
    _check_ids_differ(examples, records, problems)
    problems.raise_if_any()
    return examples


def _settled(columns: Columns, records: Sequence[Record], problems: Problems) -> Columns:
    """Decide which columns hold label and id. A column that no row has is one problem, not one a row."""
    present = dict.fromkeys(name for record in records for name in record.values)
    label = columns.label or _label_column(present, records[0], problems)
    if label not in present and columns.label_may_be_absent:
        label = None
    needed = [*columns.prompt]
    needed += [columns.id] if columns.id else []
    needed += [label or " or ".join(LABEL_COLUMNS)] if columns.require_labels or label else []
    for name in needed:
        if name not in present:
            _add_absent(name, present, records[0], problems)
    problems.raise_if_any()
    identifier = columns.id or next((name for name in ID_COLUMNS if name in present), None)
    return replace(columns, label=label, id=identifier)


def _label_column(present: Mapping[str, None], first: Record, problems: Problems) -> str | None:
    found = [name for name in LABEL_COLUMNS if name in present]
    if len(found) > 1:
        problems.stop(first.line, f"rows have both {listed(found)}; say which is the label (label_column)")
    return found[0] if found else None


def _add_absent(name: str, present: Iterable[str], first: Record, problems: Problems) -> None:
    present = list(present)
    found = f"the rows have {listed(present)}" if present else "the rows are empty"
    is_csv = problems.source.lower().endswith(".csv")
    hint = " (the first line of a CSV file names its columns)" if is_csv else ""
    problems.add(first.line, f"no row has the field {name!r}{did_you_mean(name, present)}; {found}{hint}")


def _example(record: Record, index: int, columns: Columns, problems: Problems) -> Example:
    """Return the row's example; what is wrong with the row goes to `problems`, which are raised later."""
    fields = {name: _text(record, name, problems) for name in columns.prompt}
    label = _label(record, columns, problems) if columns.label else None
    identifier = _identifier(record, columns.id, problems) if columns.id else str(index)
    return Example(id=identifier, fields=fields, label=label)


def _check_ids_differ(examples: Sequence[Example], records: Sequence[Record], problems: Problems) -> None:
    first_line: dict[str, int] = {}
    for example, record in zip(examples, records, strict=True):
        earlier = first_line.setdefault(example.id, record.line)
        if earlier != record.line:
            same = f"the id {clipped(example.id)} is already that of line {earlier}"
            problems.add(record.line, f"{same}; every row needs an id of its own")


def _text(record: Record, name: str, problems: Problems) -> str:
    value = record.values.get(name)
    if not isinstance(value, str):
        problems.add(record.line, f"{_held(record, name)}; it must be text")
        return ""
    _check_encodable(value, record, name, problems)
    return value


def _identifier(record: Record, name: str, problems: Problems) -> str:
    value = record.values.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        problems.add(record.line, f"{_held(record, name)}; an id is text or a whole number")
        return f"line {record.line}"
    text = str(value)
    _check_encodable(text, record, name, problems)
    return text


def _check_encodable(text: str, record: Record, name: str, problems: Problems) -> None:
    # Half of a surrogate pair ("\\ud83d" alone) is legal JSON, but no tokenizer or Parquet file takes it.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        bad = f"character {error.start} of the field {name!r} is half of a surrogate pair"
        problems.add(record.line, f"{bad} ({clipped(text[error.start])}); write the whole character")


def _label(record: Record, columns: Columns, problems: Problems) -> int | None:
    """Return the class index, or None for a row that is unlabelled (which may be a problem)."""
    name = columns.label or ""
    value = record.values.get(name)
    if value is None or value == "":
        if columns.require_labels:
            problems.add(record.line, f"{_held(record, name)}; every row needs a label: {_allowed(columns)}")
        return None
    label = _class_index(value, columns.class_names)
    if label is None:
        hint = did_you_mean(value, columns.class_names) if isinstance(value, str) else ""
        unknown = "NaN (for an unlabelled row write null)" if _is_nan(value) else _held(record, name)
        problems.add(record.line, f"{unknown}; a label is {_allowed(columns)}{hint}")
    return label


def _class_index(value: Any, class_names: tuple[str, ...]) -> int | None:
    """Return the class that a bool, whole number, name, or (as in CSV) text of these stands for."""
    if isinstance(value, str):
        if value in class_names:
            return class_names.index(value)
        if value.lower() in TRUE_FALSE:
            value = value.lower() == "true"
        elif value.isascii() and value.isdigit() and len(value) < 10:
            value = int(value)
    if isinstance(value, bool):
        return int(value) if len(class_names) == 2 else None
    return value if isinstance(value, int) and 0 <= value < len(class_names) else None


def _allowed(columns: Columns) -> str:
    count = len(columns.class_names)
    true_false = "true/false, " if count == 2 else ""
    return f"{true_false}a class number 0 to {count - 1}, or one of {listed(columns.class_names)}"


def _held(record: Record, name: str) -> str:
    if name not in record.values:
        return f"the field {name!r} is missing"
    value = record.values[name]
    return f"the field {name!r} is {'null' if value is None else clipped(value)}"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
