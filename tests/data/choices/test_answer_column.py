import pytest

from ensemble_uq_llm.data.choices.answer_column import AnswerColumn, NotAnOptionError, option_of
from ensemble_uq_llm.data.choices.choice_record import ChoiceRecord
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.label_values import ClassCode
from ensemble_uq_llm.utils.input.problems import Problems


def row(*options, keys=()):
    return ChoiceRecord(line=7, values={}, options=options, keys=keys)


COLOURS = row("red", "blue", "green")


@pytest.mark.parametrize(
    ("value", "record", "form", "index"),
    [
        ("3", row("x", "y", "z", keys=("1", "2", "3")), None, 2),
        (2, row("x", "y", "z", keys=("1", "2", "3")), None, 1),
        ("B", COLOURS, None, 1),
        ("green", COLOURS, None, 2),
        ("b", COLOURS, "letter", 1),
        ("2", COLOURS, "index", 2),
        (2.0, COLOURS, "number", 1),
        (" red ", COLOURS, "text", 0),
        (ClassCode(2, ("A", "B", "C")), COLOURS, None, 2),
        ("2", row("1", "2", "4"), None, 1),
        ("A", row("B", "A"), "text", 1),
    ],
)
def test_an_answer_by_every_form(value, record, form, index):
    assert option_of(value, record, form) == index


@pytest.mark.parametrize(
    ("value", "record", "form", "message"),
    [
        ("D", row("x", "y", keys=("A", "B")), None, r"which it calls 'A', 'B'"),
        ("D", COLOURS, "letter", "it is beyond them"),
        (3, COLOURS, "index", r"counted from 0 it is beyond them; if the file counts from 1, set answer_form: number"),
        (0, COLOURS, "number", r"counted from 1 it is beyond them; if from 0, set answer_form: index"),
        (1, COLOURS, None, r"may be counted from 0 or from 1; set answer_form: index or number"),
        ("gren", COLOURS, None, "did you mean 'green'"),
        ("gren", COLOURS, "text", "did you mean 'green'"),
        ("A", row("B", "A"), None, r"by letter and by words it means two of them; set answer_form"),
        ("same", row("same", "same", "other"), "text", "several options have these words"),
        ("1.5", COLOURS, "index", "a whole number from 0"),
        ("red", COLOURS, "letter", "an answer is one letter"),
        ("\u0131", row(*"abcdefghi"), "letter", "an answer is one letter"),  # whose capital is I
        (float("nan"), COLOURS, "index", "NaN is no answer; for an unlabelled row write null"),
        (ClassCode(5, tuple("ABCDEF")), COLOURS, None, "it is beyond them"),
    ],
)
def test_an_answer_that_means_no_option(value, record, form, message):
    with pytest.raises(NotAnOptionError, match=message):
        option_of(value, record, form)


def column(problems, *, is_required=True):
    return AnswerColumn(name="answer", form=None, is_required=is_required, problems=problems)


def record(values):
    return ChoiceRecord(line=7, values=values, options=COLOURS.options)


def test_mistakes_are_named_with_line_and_value():
    problems = Problems("mine.jsonl")
    assert column(problems).read(record({"answer": "E"})) is None
    assert column(problems).read(record({})) is None
    with pytest.raises(DataError) as caught:
        problems.raise_if_any()
    assert str(caught.value).splitlines() == [
        "mine.jsonl:7: the field 'answer' is 'E', and the row has 3 options, A to C (label_column, answer_form)",
        "mine.jsonl:7: the field 'answer' is missing; every row needs an answer",
    ]


@pytest.mark.parametrize("value", [None, "", ClassCode(-1, ("A", "B", "C"))])
def test_rows_may_have_no_answer_where_none_is_needed(value):
    problems = Problems("mine.jsonl")
    assert column(problems, is_required=False).read(record({"answer": value})) is None
    problems.raise_if_any()
