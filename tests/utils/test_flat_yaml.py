import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.utils.flat_yaml import MAX_CHARACTERS, Entry, Problem, parse_flat_yaml, parse_scalar, write_value

YAMLISH = st.text(alphabet=list("ab08:1 -[]{}\n'\"|>!&*#?%@`,.~e+_=<\t\0\x85\u2028\ufeff"), max_size=60)
TEXTS = (
    st.text(max_size=30)
    | st.from_regex(r"[-+.0-9eE_x:o~]{1,8}", fullmatch=True)
    | st.sampled_from(["no", "Yes", "on", "null", "true", "1e3", "010", "08", "12:30:45", "2020-01-01", "[a]", "{a}"])
    | st.sampled_from(["~", "", "=", "<<", "a: b", "# x", " a ", "\n", "a\n", "a\n\nb", "...", "---", "-", "?"])
    | st.sampled_from(["\x85", "\u2028", "\ufeff"])
)
SCALARS = TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()

SCALAR_RULES = {
    "2e-4": 0.0002,
    "1E3": 1000.0,
    "-1.5e+2": -150.0,
    ".5": 0.5,
    "1.": 1.0,
    ".inf": math.inf,
    "-.inf": -math.inf,
    "no": "no",
    "Yes": "Yes",
    "on": "on",
    "true": True,
    "FALSE": False,
    "tRUE": "tRUE",
    "010": 10,
    "08": 8,
    "-09": -9,
    "+7": 7,
    "0x10": "0x10",
    "0b11": "0b11",
    "1_000": "1_000",
    "12:30:45": "12:30:45",
    "190:20:30.15": "190:20:30.15",
    "2020-01-01": "2020-01-01",
    "null": None,
    "~": None,
    "": None,
    "nil": "nil",
    "<<": "<<",
    "=": "=",
    '"42"': "42",
    "'it''s'": "it's",
    "a#b": "a#b",
    "a # b": "a",
    "[1, 2e-4, no]": [1, 0.0002, "no"],
    "[]": [],
    '"\\u00e9"': "é",
}

BROKEN = {
    "a: 1\na: 2": Problem(2, "a: given twice, first on line 1; keep one of them"),
    "a: {b: 1}": Problem(1, "a: must be a value or a list of values, not a nested mapping or list"),
    "x: 1\na:\n  b: 1": Problem(2, "a: must be a value or a list of values, not a nested mapping or list"),
    "a: [[1]]": Problem(1, "a: must be a value or a list of values, not a nested mapping or list"),
    "<<: {a: 1}": Problem(1, "<<: must be a value or a list of values, not a nested mapping or list"),
    "? [1, 2]\n: 3": Problem(1, "a key must be a plain word"),
    "[]": Problem(1, "the file must hold `key: value` lines"),
    "\n- a\n- b": Problem(1, "the file must hold `key: value` lines"),
    "just words": Problem(1, "the file must hold `key: value` lines"),
    "b: 1\na: " + "9" * 5000: Problem(2, "a: the number has too many digits"),
    "b: 1\na: \x07": Problem(2, "not valid YAML: the character '\\x07' is not allowed; delete it"),
    "a: \ud800": Problem(1, "not valid YAML: the character '\\ud800' is not allowed; delete it"),
    "a: &x 1": Problem(1, "anchors and aliases (& and *) are not allowed here; quote the value if it is text"),
    "a: 1\nb: *x": Problem(2, "anchors and aliases (& and *) are not allowed here; quote the value if it is text"),
    "a: !!python/object/apply:os.system [ls]": Problem(
        1,
        "tags are not allowed here, found 'tag:yaml.org,2002:python/object/apply:os.system'; quote the value if it is "
        "text",
    ),
    "a: !!int 3": Problem(1, "tags are not allowed here, found 'tag:yaml.org,2002:int'; quote the value if it is text"),
}

BOMBS = {
    "brackets": "a: " + "[" * 100_000,
    "closed brackets": "a: " + "[" * 100_000 + "]" * 100_000,
    "braces": "{" * 100_000,
    "question marks": "? " * 100_000,
    "dashes": "- " * 100_000,
    "a billion laughs": "a: &a [x, x]\n" + "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [*a, *a]" for i in range(20)),
    "indents": "\n".join(" " * depth + "a:" for depth in range(1_000)),
}


@pytest.mark.parametrize("text", SCALAR_RULES)
def test_scalars_follow_yaml_1_2(text):
    entries, problems = parse_flat_yaml(f"\nkey: {text}\n")
    assert problems == []
    [(key, entry)] = entries.items()
    assert (key, entry) == ("key", Entry(SCALAR_RULES[text], 2))
    assert type(entry.value) is type(SCALAR_RULES[text])
    assert parse_scalar(text) == SCALAR_RULES[text]


def test_nan_is_a_number():
    assert math.isnan(parse_scalar(".nan"))


@pytest.mark.parametrize("text", BROKEN)
def test_what_a_flat_file_cannot_mean_is_told_with_its_line(text):
    assert parse_flat_yaml(text)[1] == [BROKEN[text]]


def test_every_problem_is_told():
    _, problems = parse_flat_yaml("a: 1\nb: {}\na: 2\nb: [[]]\nc: {}")
    assert [problem.line for problem in problems] == [2, 3, 4, 5]


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: [1, 2\nc: 3", 3), ("a: 1\n\tb: 2", 2), ("a: 1\nb: 'x\n", 3)])
def test_broken_yaml_is_told_with_line_and_column(text, line):
    [problem] = parse_flat_yaml(text)[1]
    assert problem.line == line
    assert problem.message.startswith("not valid YAML at column ")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\ufeff"])
def test_an_empty_file_is_empty(text):
    assert parse_flat_yaml(text) == ({}, [])


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_anything_is_built(name):
    entries, [problem] = parse_flat_yaml(BOMBS[name])
    assert entries == {}
    assert "nested too deeply" in problem.message or "anchors and aliases" in problem.message


def test_a_large_file_is_refused():
    entries, [problem] = parse_flat_yaml("a: 1\n" * MAX_CHARACTERS)
    assert entries == {}
    assert "larger than" in problem.message


@given(st.text() | YAMLISH)
def test_any_text_gives_entries_or_problems(text):
    entries, problems = parse_flat_yaml(text)
    assert all(isinstance(key, str) and entry.line >= 1 for key, entry in entries.items())
    assert all(problem.line >= 1 and "\n" not in problem.message for problem in problems)
    parse_scalar(text)


@given(SCALARS | st.lists(SCALARS, max_size=4))
def test_what_is_written_is_read_back(value):
    entries, problems = parse_flat_yaml(f"key: {write_value(value)}\nother: 1\n")
    assert problems == []
    assert entries == {"key": Entry(value, 1), "other": Entry(1, 2)}
    assert type(entries["key"].value) is type(value)


@pytest.mark.parametrize("text", ["no", "yes", "1e3", "0x10", "12:30", "010", "2020-01-01"])
def test_a_text_that_another_reader_would_mistake_is_quoted(text):
    assert write_value(text) == f"'{text}'"


@pytest.mark.parametrize("text", ["a: b: c", "{x", "*star", "'", "value: 1\nother: 2", "[", "a\tb\x00"])
def test_a_value_that_is_no_yaml_is_text(text):
    assert parse_scalar(text) == text
