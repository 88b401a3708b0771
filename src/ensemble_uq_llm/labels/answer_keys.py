"""The configuration's keys about the answer head: the answers' texts, and what is wrong with the keys together."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from ensemble_uq_llm.labels.class_keys import MOST_CLASSES, as_name
from ensemble_uq_llm.utils.text import counted, repeated_in

LONGEST_ANSWER: Final = 64
LM_HEAD: Final = "lm_head"
"""The target module that only the answer head has, as transformers calls it in every model type of the table."""

Answer = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_ANSWER), BeforeValidator(as_name)]
Answers = Annotated[tuple[Answer, ...], Field(max_length=MOST_CLASSES)]


def answers_of(
    answers: Sequence[str] | None, labels: Sequence[str], template: str, *, is_chat: bool = False
) -> tuple[str, ...]:
    """Return the text that follows the prompt for each class: as given, or else the class' name.

    A name follows after a space, as a model would write it, but not where the prompt ends with white space of its own,
    nor where it begins a turn of a chat.
    """
    if answers is not None:
        return tuple(answers)
    space = "" if is_chat or template != template.rstrip() else " "
    return tuple(f"{space}{label}" for label in labels)


def answer_problems(config: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each combination of these keys of a `Config` that cannot work: the keys, and what is wrong with them."""
    answers, classes = config.answers, config.num_labels
    if config.head != "answer":
        if answers is not None:
            yield (
                ("answers", "head"),
                "answers: only the answer head gives answers; set head: answer, or leave them out",
            )
        if config.answer_mass:
            yield (
                ("answer_mass", "head"),
                "answer_mass: only the answer head has one; set head: answer, or leave it out",
            )
        if LM_HEAD in config.lora_target_modules:
            yield (
                ("lora_target_modules", "head"),
                f"lora_target_modules: {LM_HEAD} is what the answer head reads; set head: answer, or leave it out",
            )
        return
    if config.append_eos:
        yield (
            ("append_eos", "head"),
            "append_eos: the answer head reads what follows the prompt, not what follows its end; leave it out",
        )
    if answers is None:
        return
    if len(answers) != classes:
        yield (
            ("answers", "num_labels"),
            f"answers: {counted(len(answers), 'text')} for num_labels {classes}; give one a class",
        )
    if repeated := repeated_in(answers):
        yield ("answers",), f"answers: {repeated} given more than once; every class needs its own"
