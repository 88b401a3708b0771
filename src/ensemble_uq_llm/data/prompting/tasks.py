"""The tasks that everybody compares on: a prompt with a cue at its end, the label's column, the classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ensemble_uq_llm.data.choices.layouts import LAYOUTS, find_layout
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPrompt:
    """One way to ask a task's questions, and the columns that it takes from the rows."""

    template: str
    columns: tuple[str, ...]
    cut: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row of the table of tasks."""

    name: str
    title: str
    prompts: tuple[TaskPrompt, ...]
    """By the columns of its copies: the first is that of the data set on the hub."""
    label: str | None = None
    """The label's column; None where the layout says it."""
    classes: tuple[str, ...] = ()
    """In the order of the official numbers; none where they are letters."""
    answers: tuple[str, ...] = ()
    """What the answer head says for the classes, where their names are several tokens."""
    options: int | None = None
    """Options of a question at most, where they are shown in the prompt."""
    max_length: int = 512

    def prompt_for(self, row: Mapping[str, Any], source: str) -> TaskPrompt:
        """Return the prompt for rows such as this one.

        Raises:
            DataError: the rows have other columns than any copy of the task.
        """
        for prompt in self.prompts:
            if find_layout(row) if self.options is not None else {*prompt.columns, self.label} <= row.keys():
                return prompt
        columns = [listed([*prompt.columns, self.label]) for prompt in self.prompts]
        wanted = " or ".join(columns) if self.options is None else "; or ".join(each.name for each in LAYOUTS)
        raise DataError(
            f"{source}: has the columns {listed(list(row))}, and {self.name} is read from {wanted}; rename them, or "
            "write the YAML without --task and name your own in prompt_template"
        )


def find_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        ConfigError: there is none; the message names those that there are.
    """
    for task in TASKS:
        if task.name == name:
            return task
    names = [task.name for task in TASKS]
    raise ConfigError(f"--task: unknown task {name!r}{did_you_mean(name, names)}; known are {listed(names, most=20)}")


_CHOICE: Final = TaskPrompt(
    template="Question: {question}\n{options}\nAnswer:", columns=("question", "options"), cut="question"
)
_GAP: Final = TaskPrompt(
    template="Who or what is meant by _ here? {question}\n{options}\nAnswer:",
    columns=("question", "options"),
    cut="question",
)

TASKS: Final = (
    Task(
        name="boolq",
        title="BoolQ: yes/no questions about a passage (Clark et al. 2019)",
        prompts=(
            TaskPrompt(
                template="Passage: {passage}\nQuestion: {question}?\nAnswer:",
                columns=("passage", "question"),
                cut="passage",
            ),
        ),
        label="answer",
        classes=("no", "yes"),
    ),
    Task(
        name="sst2",
        title="SST-2: is a film review positive (Socher et al. 2013)",
        prompts=(
            TaskPrompt(template="Review: {sentence}\nSentiment:", columns=("sentence",), cut="sentence"),
            TaskPrompt(template="Review: {text}\nSentiment:", columns=("text",), cut="text"),
        ),
        label="label",
        classes=("negative", "positive"),
        max_length=128,
    ),
    Task(
        name="rte",
        title="RTE: does the premise entail the hypothesis (GLUE; Wang et al. 2019)",
        prompts=(
            TaskPrompt(
                template="Premise: {premise}\nHypothesis: {hypothesis}\nIs the hypothesis entailed?",
                columns=("premise", "hypothesis"),
                cut="premise",
            ),
            TaskPrompt(
                template="Premise: {sentence1}\nHypothesis: {sentence2}\nIs the hypothesis entailed?",
                columns=("sentence1", "sentence2"),
                cut="sentence1",
            ),
        ),
        label="label",
        classes=("entailment", "not_entailment"),
        answers=(" yes", " no"),
        max_length=320,
    ),
    Task(
        name="ag_news",
        title="AG News: the topic of a news item (Zhang et al. 2015)",
        prompts=(
            TaskPrompt(template="News: {text}\nTopic:", columns=("text",), cut="text"),
            TaskPrompt(
                template="News: {title} {description}\nTopic:", columns=("title", "description"), cut="description"
            ),
        ),
        label="label",
        classes=("World", "Sports", "Business", "Sci/Tech"),
        answers=(" World", " Sports", " Business", " Technology"),
        max_length=192,
    ),
    Task(name="openbookqa", title="OpenBookQA (Mihaylov et al. 2018)", prompts=(_CHOICE,), options=4, max_length=256),
    Task(name="arc_easy", title="ARC-Easy (Clark et al. 2018)", prompts=(_CHOICE,), options=5, max_length=256),
    Task(
        name="arc_challenge", title="ARC-Challenge (Clark et al. 2018)", prompts=(_CHOICE,), options=5, max_length=256
    ),
    Task(
        name="commonsenseqa", title="CommonsenseQA (Talmor et al. 2019)", prompts=(_CHOICE,), options=5, max_length=192
    ),
    Task(name="winogrande_s", title="WinoGrande (Sakaguchi et al. 2020)", prompts=(_GAP,), options=2, max_length=128),
    Task(name="mmlu", title="MMLU (Hendrycks et al. 2021)", prompts=(_CHOICE,), options=4),
)
