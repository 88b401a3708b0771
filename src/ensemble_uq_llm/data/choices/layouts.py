"""The official layouts of multiple-choice data sets, each told by the first row: a literal table.

What differs between copies of a data set is the layout, not the data set: OpenBookQA, ARC and CommonsenseQA are
published as nested JSON, and on the hub with lists of texts and of labels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ensemble_uq_llm.labels.option_letters import AnswerForm

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where rows hold the question, the options and the answer."""

    name: str
    """In words, for an error."""
    fits: Callable[[Row], bool]
    flat: Callable[[Row], dict[str, Any]]
    """The row's texts by the names that a prompt may use, `question` among them."""
    options: Callable[[Row], Sequence[Any]]
    keys: Callable[[Row], Sequence[Any]] | None
    """What the row itself calls its options, in their order; None where nothing does."""
    answer_column: str
    answer_form: AnswerForm | None = None
    """Where there are no keys."""


def find_layout(row: Row) -> Layout | None:
    """Return the layout of which a row is; None where it is of none."""
    return next((layout for layout in LAYOUTS if layout.fits(row)), None)


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, kind) for each in value)


def _is_nested(row: Row) -> bool:
    question = row.get("question")
    return isinstance(question, Mapping) and "stem" in question and _is_list_of(question.get("choices"), Mapping)


def _is_listed(row: Row) -> bool:
    choices = row.get("choices")
    return isinstance(choices, Mapping) and {"text", "label"} <= choices.keys()


def _of_each(choices: Any, name: str) -> list[Any]:
    return [choice.get(name) for choice in choices]


def _with_question(row: Row, name: str) -> dict[str, Any]:
    """Return the row's own columns, and the question as `question` whatever it is called."""
    return {**row, "question": row.get("question", row.get(name))}


def _unnested(row: Row) -> dict[str, Any]:
    question = {name: value for name, value in row["question"].items() if name not in ("choices", "stem")}
    return {**row, **question, "question": row["question"]["stem"]}


LAYOUTS: Final = (
    # OpenBookQA, ARC and CommonsenseQA as their authors publish them.
    Layout(
        name="question.stem and question.choices of text and label",
        fits=_is_nested,
        flat=_unnested,
        options=lambda row: _of_each(row["question"]["choices"], "text"),
        keys=lambda row: _of_each(row["question"]["choices"], "label"),
        answer_column="answerKey",
    ),
    # The same on the hub; OpenBookQA calls the question question_stem.
    Layout(
        name="question (or question_stem) and choices.text, choices.label",
        fits=_is_listed,
        flat=lambda row: _with_question(row, "question_stem"),
        options=lambda row: row["choices"]["text"] or (),
        keys=lambda row: row["choices"]["label"] or (),
        answer_column="answerKey",
    ),
    # The same, an object for each option.
    Layout(
        name="question and choices, each of text and label",
        fits=lambda row: _is_list_of(row.get("choices"), Mapping),
        flat=lambda row: _with_question(row, "question_stem"),
        options=lambda row: _of_each(row["choices"], "text"),
        keys=lambda row: _of_each(row["choices"], "label"),
        answer_column="answerKey",
    ),
    # WinoGrande: a sentence with a gap, and an answer of 1 or 2, which is empty in the test split.
    Layout(
        name="sentence, option1 and option2",
        fits=lambda row: {"sentence", "option1", "option2"} <= row.keys(),
        flat=lambda row: _with_question(row, "sentence"),
        options=lambda row: (row["option1"], row["option2"]),
        keys=lambda row: ("1", "2"),
        answer_column="answer",
    ),
    # MMLU: the answer is counted from 0.
    Layout(
        name="question and a list of choices",
        fits=lambda row: isinstance(row.get("question"), str) and _is_list_of(row.get("choices"), str),
        flat=dict,
        options=lambda row: row["choices"],
        keys=None,
        answer_column="answer",
        answer_form="index",
    ),
)
