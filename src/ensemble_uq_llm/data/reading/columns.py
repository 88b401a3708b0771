"""Rows -> examples: which columns a row must have, and what its values may be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.choices.answer_column import AnswerColumn
from ensemble_uq_llm.data.choices.choice_record import ChoiceRecord
from ensemble_uq_llm.data.choices.option_rows import as_choices
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prompts import prompt_columns
from ensemble_uq_llm.data.reading.file_formats import Record
from ensemble_uq_llm.data.reading.label_column import LabelColumn, is_missing
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.class_names import ClassNames
from ensemble_uq_llm.labels.option_letters import LETTERS, OPTIONS_FIELD, AnswerForm
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, listed

LABEL_COLUMNS: Final = ("answer", "label")  # official BoolQ, SuperGLUE
ID_COLUMNS: Final = ("id", "idx")


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
    """In the order of the class indices; what a label's value means is the rule of `class_names.py`."""
    require_labels: bool = True
    """Whether a row without a label is an error, or an example with the label None."""
    label_may_be_absent: bool = False
    """Whether rows without the column that `label` names are unlabelled; else the name is taken for a mistake."""
    options: tuple[str, ...] = ()
    """The columns of the options, or the one with a list of them; empty: as official layouts have them."""
    reads_labels: bool = True
    """Whether labels are looked at; questions that are to be answered may have any, or none."""
    answer_form: AnswerForm | None = None
    """How an answer names its option; None: as the layout has it, or by letter or words."""

    @classmethod
    def of(cls, config: Config, *, class_names: Sequence[str] = LETTERS, require_labels: bool = True) -> Self:
        """Return where a configuration's rows hold what it needs; without the names of the classes any letter may do.

        Raises:
            ConfigError: the prompt's template is no good.
        """
        return cls(
            prompt=prompt_columns(config.prompt_template),
            label=config.label_column,
            id=config.id_column,
            class_names=tuple(class_names),
            require_labels=require_labels,
            options=config.option_columns or (),
            answer_form=config.answer_form,
        )


def examples_from_records(
    records: Sequence[Record], columns: Columns, *, source: str, before: int = 0
) -> list[Example]:
    """Return one example a row, in order.

    `source` is the origin that errors name; `before` is how many rows of it there were before these. Raises DataError
    with up to ten problems, each as `source:line: what is wrong and what to do`.
    """
    if not records:
        raise DataError(f"{source}: holds no rows; it must hold at least one")
    problems = Problems(source)
    records, columns, is_choice = _with_options(records, columns, problems)
    columns = _settled(columns, records, problems)
    labels = _answer_column_of(columns, problems) if is_choice else _label_column_of(columns)
    examples = [
        _example(record, index, columns, labels, problems) for index, record in enumerate(records, start=before)
    ]
    if labels is not None:
        labels.report(problems)
    _check_ids_differ(examples, records, problems)
    problems.raise_if_any()
    return examples


def labels_of_records(records: Sequence[Record], columns: Columns, *, source: str) -> list[Any]:
    """Return the labels of rows as they are, without those that are missing; of multiple choice the letters in use.

    Raises:
        DataError: there are no rows, or none has one of the columns; or options cannot be used.
    """
    if not records:
        raise DataError(f"{source}: holds no rows; it must hold at least one")
    problems = Problems(source)
    records, columns, is_choice = _with_options(records, columns, problems)
    name = _settled(columns, records, problems).label or ""
    if is_choice:
        most = max(len(record.options) for record in records if isinstance(record, ChoiceRecord))
        return list(LETTERS[:most])
    return [value for record in records if not is_missing(value := record.values.get(name))]


def _with_options(
    records: Sequence[Record], columns: Columns, problems: Problems
) -> tuple[Sequence[Record], Columns, bool]:
    """Return rows and columns with the options by letter and the answer's column, where the prompt names options."""
    if OPTIONS_FIELD not in columns.prompt:
        return records, columns, False
    choices = as_choices(records, columns.options, columns.class_names, problems)
    if choices is None:
        return records, columns, False
    label, official = columns.label, choices.answer_column
    if label is None and official and (columns.require_labels or any(official in each.values for each in records)):
        label = official
    form = columns.answer_form or choices.answer_form
    return choices.records, replace(columns, label=label, answer_form=form), True


def _answer_column_of(columns: Columns, problems: Problems) -> AnswerColumn | None:
    if not columns.label:
        return None
    return AnswerColumn(
        name=columns.label, form=columns.answer_form, is_required=columns.require_labels, problems=problems
    )


def _settled(columns: Columns, records: Sequence[Record], problems: Problems) -> Columns:
    """Decide which columns hold label and id. A column that no row has is one problem, not one a row."""
    present = dict.fromkeys(name for record in records for name in record.values)
    label = columns.label or _label_column(present, records[0], problems) if columns.reads_labels else None
    if label not in present and columns.label_may_be_absent:
        label = None
    needed = dict.fromkeys(columns.prompt, "prompt_template")
    if columns.id:
        needed.setdefault(columns.id, "id_column")
    if columns.require_labels or label:
        needed.setdefault(label or " or ".join(LABEL_COLUMNS), "label_column")
    for name, key in needed.items():
        if name not in present:
            _add_absent(name, key, present, records[0], problems)
    problems.raise_if_any()
    return replace(columns, label=label, id=id_column_of(columns, present))


def id_column_of(columns: Columns, present: Iterable[str]) -> str | None:
    """Return the column of the ids, of those that are present; None where rows are known by their numbers."""
    return columns.id or next((name for name in ID_COLUMNS if name in set(present)), None)


def _label_column(present: Mapping[str, None], first: Record, problems: Problems) -> str | None:
    found = [name for name in LABEL_COLUMNS if name in present]
    if len(found) > 1:
        problems.stop(first.line, f"rows have both {listed(found)}; say which is the label (label_column)")
    return found[0] if found else None


def _add_absent(name: str, key: str, present: Iterable[str], first: Record, problems: Problems) -> None:
    present = list(present)
    found = f"the rows have {listed(present)}" if present else "the rows are empty"
    suffix = problems.source[-4:].lower()
    is_delimited = suffix in (".csv", ".tsv")
    hint = f" (the first line of a {suffix[1:].upper()} file names its columns)" if is_delimited else ""
    problems.add(first.line, f"no row has the field {name!r}{did_you_mean(name, present)}; {found}{hint}; see {key}")


def _label_column_of(columns: Columns) -> LabelColumn | None:
    if not columns.label:
        return None
    return LabelColumn(columns.label, ClassNames(columns.class_names), is_required=columns.require_labels)


def _example(
    record: Record, index: int, columns: Columns, labels: LabelColumn | AnswerColumn | None, problems: Problems
) -> Example:
    """Return the row's example; what is wrong with the row goes to `problems`, which are raised later."""
    fields = {name: _text(record, name, problems) for name in columns.prompt}
    label = labels.read(record) if labels is not None else None
    identifier = _identifier(record, columns.id, problems) if columns.id else str(index)
    options = len(record.options) if isinstance(record, ChoiceRecord) else None
    return Example(id=identifier, fields=fields, label=label, options=options)


def _check_ids_differ(examples: Sequence[Example], records: Sequence[Record], problems: Problems) -> None:
    first_line: dict[str, int] = {}
    for example, record in zip(examples, records, strict=True):
        earlier = first_line.setdefault(example.id, record.line)
        if earlier != record.line:
            same = f"the id {clipped(example.id)} is already that of line {earlier}"
            problems.add(record.line, f"{same}; every row needs an id of its own (id_column)")


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


def _held(record: Record, name: str) -> str:
    if name not in record.values:
        return f"the field {name!r} is missing"
    value = record.values[name]
    return f"the field {name!r} is {'null' if value is None else clipped(value)}"
