import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.data.prompts import default_cut_column, parse_template, prompt_columns
from ensemble_uq_llm.errors import ConfigError

BOOLQ = "Question: {question} Context: {passage}"
FIELDS = {"question": "is it", "passage": "It is {not} a field."}


def test_the_default_template():
    assert prompt_columns(BOOLQ) == ("question", "passage")
    assert parse_template(BOOLQ).render(FIELDS) == "Question: is it Context: It is {not} a field."


@given(before=st.text(), after=st.text(), value=st.text())
def test_any_literal_text_and_any_value_stay_as_they_are(before, after, value):
    def escaped(text):
        return text.replace("{", "{{").replace("}", "}}")

    template = parse_template(f"{escaped(before)}{{text}}{escaped(after)}")
    assert template.render({"text": value}) == before + value + after
    head, tail = template.around("text")
    assert (head.render({}), tail.render({})) == (before, after)


def test_around_leaves_the_other_columns_on_their_side():
    template = parse_template("{title}: {question} {{x}} {passage} end {title}")
    before, after = template.around("passage")
    fields = FIELDS | {"title": "T"}
    assert before.render(fields) == "T: is it {x} "
    assert after.render(fields) == " end T"
    assert template.render(fields) == before.render(fields) + FIELDS["passage"] + after.render(fields)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{question.title}", r"\{question\.title\} cannot be used; only plain column names"),
        ("{question[0]}", r"\{question\[0\]\} cannot be used"),
        ("{question!r}", r"\{question!r\} cannot be used"),
        ("{question:>10}", r"\{question:>10\} cannot be used"),
        ("{} {question}", r"\{\} cannot be used"),
        ("{0}", r"\{0\} cannot be used"),
        ("{question", "expected '}' before end of string; write {{ and }} for braces as text"),
        ("question}", "Single '}' encountered"),
        ("no column", "it names no column"),
        ("", "it names no column"),
        ("{{question}}", "it names no column"),
    ],
)
def test_what_is_no_template(template, message):
    with pytest.raises(ConfigError, match=message):
        parse_template(template)


@given(st.text(st.sampled_from("{}ab!:[]. 0"), max_size=12))
def test_any_text_is_a_template_or_a_config_error(text):
    try:
        columns = prompt_columns(text)
    except ConfigError as error:
        assert repr(text) in str(error)  # noqa: PT017  (that nothing else escapes is the test)
    else:
        assert parse_template(text).render(dict.fromkeys(columns, "")) is not None


@pytest.mark.parametrize(
    ("template", "column"),
    [(BOOLQ, "passage"), ("{passage} {question}", "passage"), ("{a} {b}", "b"), ("{a} {b} {b}", "a"), ("{a}", "a")],
)
def test_the_column_that_is_cut(template, column):
    assert default_cut_column(template) == column


def test_no_column_can_be_cut():
    with pytest.raises(ConfigError, match="it repeats every column, so none can be cut"):
        default_cut_column("{a} {a}")
    with pytest.raises(ConfigError, match="'passag', stands not at all in the prompt template; did you mean 'passage'"):
        parse_template(BOOLQ).around("passag")
    with pytest.raises(ConfigError, match="'a', stands 2 times in the prompt template"):
        parse_template("{a} {a}").around("a")
