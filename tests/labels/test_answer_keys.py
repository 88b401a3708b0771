"""The keys of the answer head: the texts that follow the prompt, and what does not fit together."""

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.labels.answer_keys import answers_of

CUE = "{question} Answer:"


@pytest.mark.parametrize(
    ("answers", "template", "expected"),
    [
        (None, CUE, (" no", " yes")),
        (None, f"{CUE}\n", ("no", "yes")),
        (None, "{question}", (" no", " yes")),
        (("False", " True"), CUE, ("False", " True")),
    ],
)
def test_a_name_follows_after_a_space_where_the_prompt_has_none(answers, template, expected):
    assert answers_of(answers, ("no", "yes"), template) == expected


def test_there_are_none_without_the_answer_head():
    assert Config().answer_texts is None
    assert Config(head="answer", prompt_template=CUE, class_names=("a", "b", "c")).answer_texts == (" a", " b", " c")


def test_plain_values_are_the_words_that_they_spell():
    assert Config(head="answer", answers=(False, True)).answers == ("false", "true")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"answers": ("a", "b")}, "answers: only the answer head gives answers; set head: answer, or leave them out"),
        ({"lora_target_modules": ("lm_head",)}, "lora_target_modules: lm_head is what the answer head reads; set head"),
        ({"head": "answer", "answers": ("a",)}, "answers: 1 text for num_labels 2; give one a class"),
        ({"head": "answer", "answers": ("a", "a")}, "answers: a given more than once; every class needs its own"),
        ({"head": "answer", "answers": ("", "b")}, r"answers\[0\]: must not be empty"),
        ({"head": "answer", "answers": ("a" * 65, "b")}, r"answers\[0\]: must have at most 64 characters"),
        ({"head": "score"}, "head: "),
    ],
)
def test_what_cannot_work(keys, message):
    with pytest.raises(ConfigError, match=message):
        Config(**keys)
