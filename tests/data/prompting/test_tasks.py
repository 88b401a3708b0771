"""The table of tasks: prompts that parse, cues that are never cut, classes in the official order."""

import pytest

from ensemble_uq_llm.data.prompting.tasks import TASKS, find_task
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.errors import ConfigError, DataError

PROMPTS = [(task, prompt) for task in TASKS for prompt in task.prompts]


@pytest.mark.parametrize(("task", "prompt"), PROMPTS, ids=lambda each: getattr(each, "name", None))
def test_every_prompt_ends_with_a_cue_that_no_cut_reaches(task, prompt):
    template = parse_template(prompt.template)
    _, after = template.around(prompt.cut)

    assert {*template.columns} == {*prompt.columns}
    assert prompt.template[-1] in ":?"
    assert after.pieces[-1][1] is None


def test_every_task_has_classes_or_options_and_a_name_of_its_own():
    assert len({task.name for task in TASKS}) == len(TASKS)
    for task in TASKS:
        assert bool(task.classes) != bool(task.options)
        assert bool(task.label) == bool(task.classes)
        assert len(task.answers) in (0, len(task.classes))
        assert ("{options}" in task.prompts[0].template) is bool(task.options)


def test_the_prompt_is_that_of_the_columns_that_are_there():
    news = find_task("ag_news")

    assert news.prompt_for(dict.fromkeys(["text", "label"]), "a").cut == "text"
    assert news.prompt_for(dict.fromkeys(["label", "title", "description", "more"]), "a").cut == "description"
    with pytest.raises(DataError, match=r"a.csv: has the columns 'title', 'label', and ag_news is read from 'text', "):
        news.prompt_for(dict.fromkeys(["title", "label"]), "a.csv")


def test_multiple_choice_is_read_from_the_layouts_alone():
    mmlu = find_task("mmlu")

    assert mmlu.prompt_for({"question": "q", "choices": ["x", "y"], "answer": 0}, "a").cut == "question"
    with pytest.raises(DataError, match=r"the columns 'sentence', 'label', and mmlu is read from question\.stem"):
        mmlu.prompt_for({"sentence": "s", "label": 0}, "a.csv")


def test_an_unknown_task_is_named_with_its_like():
    with pytest.raises(
        ConfigError, match=r"--task: unknown task 'agnews'; did you mean 'ag_news'\?; known are 'boolq'"
    ):
        find_task("agnews")
