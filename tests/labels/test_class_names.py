from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.labels.class_names import ClassNames, NotAClassError
from ensemble_uq_llm.labels.label_values import ClassCode, in_order, key_of, name_of

YES_NO, NO_YES, TRUE_FALSE = ("yes", "no"), ("no", "yes"), ("true", "false")


def meaning(value, names):
    """The class that a value means, or None."""
    try:
        return ClassNames(names).index_of(value)
    except NotAClassError:
        return None


@pytest.mark.parametrize(
    ("names", "meanings"),
    [
        (NO_YES, {False: 0, True: 1, "false": 0, "TRUE": 1, "0": 0, "1": 1, "yes": 1, "Yes": None, "01": None}),
        (YES_NO, {"yes": 0, "no": 1, "true": 0, "False": 1, "0": None, "1": None, "2": None}),
        (TRUE_FALSE, {"true": 0, "True": 0, "FALSE": 1, "1": None, "0": None, "yes": None}),
        (("True", "False"), {"true": 0, "False": 1}),
        (("False", "True"), {"true": 1, "False": 0, "1": 1, "0": 0}),
        (("yes", "no", "maybe"), {"true": 0, "no": 1, "2": 2, "1": 1}),
        (("bad", "good"), {"true": 1, "false": 0, "1": 1, "good": 1, "yes": None}),
        (("red", "green", "blue"), {"true": None, "2": 2, "3": None, "-1": None, "2.0": 2, "1.5": None}),
        (("1", "2", "3"), {"1": 0, "3": 2, "0": None, "true": None, "1.0": 0}),
        (("01", "02"), {"01": 0, "02": 1, "1": None, "0": None, "2": None}),
        (("-1", "1"), {"-1": 0, "1": 1, "0": None, "true": None}),
        (("0", "1"), {"0": 0, "1": 1, "true": 1, "false": 0}),
        (("1", "0"), {"0": 1, "1": 0, "true": None}),
        (("0", "1", "2+"), {"2": 2, "2+": 2, "1": 1}),
        (("0.5", "1.0"), {"0.5": 0, "1": 1, "0": None}),
        (("nan", "null"), {"nan": 0, "null": 1, "NaN": None}),
        (("yes", "y"), {"true": None, "yes": 0, "y": 1}),
        ((" a", "a"), {"a": 1, " a": 0, "a ": None}),
    ],
)
def test_every_value_has_the_meaning_that_the_rule_gives_it(names, meanings):
    assert {value: meaning(value, names) for value in meanings} == meanings


@given(
    names=st.lists(
        st.sampled_from(["true", "false", "yes", "no", "0", "1", "2", "01", "1.5", "good", "bad", "True "]),
        min_size=2, max_size=4, unique_by=key_of,
    ),
    value=st.booleans() | st.integers(-2, 12) | st.sampled_from([0.5, 1.5, 1.0, 0.0]),
)  # fmt: skip
def test_a_value_means_the_same_in_every_spelling(names, value):
    spellings = [value, str(value), np.asarray(value)[()], np.asarray([value])[0]]
    if isinstance(value, bool):
        spellings += [str(value).lower(), str(value).upper()]
    elif value == int(value):
        spellings += [int(value), float(value), f"{value:.1f}", Decimal(int(value)), np.float32(value)]
    assert len({meaning(each, names) for each in spellings}) == 1


@given(st.lists(st.text(min_size=1, max_size=4), min_size=2, max_size=5, unique_by=key_of), st.data())
def test_a_name_always_means_its_class(names, data):
    index = data.draw(st.integers(0, len(names) - 1))
    assert meaning(names[index], names) == index


@pytest.mark.parametrize(
    ("value", "names", "why"),
    [
        (1, YES_NO, "1 could be class number 1, 'no', or mean true; write the name"),
        (True, ("maybe", "no"), "no class is named true"),
        (True, ("yes", "y"), "several classes mean true"),
        (0, ("1", "2"), "class_names are numbers themselves"),
        ("yess", NO_YES, "did you mean 'yes'"),
    ],
)
def test_a_refusal_says_why(value, names, why):
    with pytest.raises(NotAClassError, match=why):
        ClassNames(names).index_of(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), [1], {}, b"yes", None, np.nan])
def test_what_can_be_no_label(value):
    assert key_of(value) is None
    assert name_of(value) is None
    assert meaning(value, NO_YES) is None


@pytest.mark.parametrize(
    ("own", "names", "expected"),
    [
        (("no", "yes"), YES_NO, (1, 0)),  # by name, whatever the order
        (("False", "True"), YES_NO, (1, 0)),
        (("World", "Sports"), ("sports", "world"), (1, 0)),
        (("neg", "pos"), ("negative", "positive"), (0, 1)),  # other words: by number
        (("a", "b"), ("a", "c"), (0, None)),
        (("a", "b", "c"), ("x", "y"), (None, None)),
    ],
)
def test_class_numbers_of_data_that_name_their_classes(own, names, expected):
    assert tuple(meaning(ClassCode(index, own), names) for index in (0, 1)) == expected
    assert meaning(ClassCode(9, own), names) is None


def test_what_a_label_may_be_in_words():
    assert ClassNames(NO_YES).in_words == "true/false, a class number 0 to 1, or one of 'no', 'yes'"
    assert ClassNames(("a", "b", "c")).in_words == "a class number 0 to 2, or one of 'a', 'b', 'c'"
    assert ClassNames(("1", "2")).in_words == "one of '1', '2'"


def test_names_from_values_and_their_order():
    values = [True, "TRUE", 1, 1.0, "1.0", Decimal("1.50"), "sport", ClassCode(1, ("a", "b"))]
    assert [name_of(value) for value in values] == ["true", "true", "1", "1", "1", "1.5", "sport", "b"]
    assert in_order(["b", "10", "9", "a", "-1"]) == ("-1", "9", "10", "a", "b")
