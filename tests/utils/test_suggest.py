import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.utils.suggest import did_you_mean

KNOWN = ("learning_rate", "lora_r", "Seeds")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("lerning_rate", "learning_rate"), ("LEARNING_RATE", "learning_rate"), ("seed", "Seeds"), ("lora_r", "lora_r")],
)
def test_the_nearest_name(name, nearest):
    assert did_you_mean(name, KNOWN) == f"; did you mean {nearest!r}?"


@pytest.mark.parametrize("name", ["", "zzz", "étude"])
def test_nothing_near(name):
    assert did_you_mean(name, KNOWN) == ""


def test_nothing_known():
    assert did_you_mean("lora_r", iter(())) == ""


@given(st.text(), st.lists(st.text()))
def test_any_text_is_answered(name, known):
    answer = did_you_mean(name, known)
    assert answer == "" or any(answer == f"; did you mean {each!r}?" for each in known)
