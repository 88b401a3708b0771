"""What `init` writes can be used as it is."""

import json

import pytest

from ensemble_uq_llm.commands.new_config import new_yaml
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.datasets import find_dataset
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.prompting.tasks import TASKS, find_task
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.errors import ConfigError, DataError

ROWS = {
    "boolq": [
        {"question": "is it so", "title": "t", "answer": True, "passage": "It is."},
        {"question": "is it not", "title": "t", "answer": False, "passage": "It is."},
    ],
    "sst2": [{"sentence": "good", "label": 1}, {"sentence": "bad", "label": 0}],
    "rte": [
        {"premise": "A.", "hypothesis": "B.", "label": "not_entailment", "idx": 0},
        {"premise": "A.", "hypothesis": "A.", "label": "entailment", "idx": 1},
    ],
    "ag_news": [
        {"label": 3, "label_text": "Sci/Tech", "title": "Chips", "description": "More."},
        {"label": 0, "label_text": "World", "title": "Peace", "description": "At last."},
    ],
}
"""Two rows of each in the layout in which they are published, and their classes."""
CLASSES = {"boolq": [1, 0], "sst2": [1, 0], "rte": [1, 0], "ag_news": [3, 0]}


@pytest.mark.parametrize("task", ROWS)
def test_a_tasks_files_are_read_with_what_is_written(tmp_path, task):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]))
    path = tmp_path / "new.yaml"

    path.write_text(new_yaml(task, train=rows, validation=rows))

    config = load_config(path)
    examples = Job(config).validation.examples
    assert [example.label for example in examples] == CLASSES[task]
    assert config.class_labels == find_task(task).classes
    prompt = parse_template(config.prompt_template).render(examples[0].fields)
    assert prompt.endswith(("Answer:", "Sentiment:", "entailed?", "Topic:"))
    assert prompt.count("{") == 0


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_tasks_name_on_the_hub_is_enough(tmp_path, task):
    path = tmp_path / "new.yaml"

    path.write_text(new_yaml(task.name))

    config = load_config(path)
    assert config.dataset == task.name
    assert config.num_labels == len(task.classes or range(task.options))
    assert config.model_name == Config().model_name
    if task.name == "boolq":
        assert find_dataset(config.dataset).class_names == config.class_labels


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_tasks_lines_for_asking_in_words_can_be_uncommented(tmp_path, task):
    path = tmp_path / "new.yaml"

    path.write_text(new_yaml(task.name).replace("# head: answer", "head: answer").replace("# answers:", "answers:"))

    config = load_config(path)
    assert config.answer_texts == (task.answers or tuple(f" {label}" for label in config.class_labels))


def test_without_a_task_every_key_is_written():
    assert all(f"\n{key}: " in new_yaml(None) for key in Config.model_fields)


def test_what_does_not_go_together_is_named(tmp_path):
    rows, others, empty = (tmp_path / f"{name}.jsonl" for name in ("rows", "others", "empty"))
    rows.write_text('{"sentence": "good", "label": 1}\n')
    others.write_text('{"text": "good", "label": 1}\n')
    empty.write_text("")

    with pytest.raises(ConfigError, match="--validation: not given beside --train; give both"):
        new_yaml("sst2", train=rows)
    with pytest.raises(ConfigError, match="--task: not given beside --train and --validation"):
        new_yaml(None, train=rows, validation=rows)
    with pytest.raises(ConfigError, match="--task: unknown task 'sst'; did you mean 'sst2'"):
        new_yaml("sst")
    with pytest.raises(DataError, match=r"others.jsonl: has not the columns of .*rows.jsonl"):
        new_yaml("sst2", train=rows, validation=others)
    with pytest.raises(DataError, match=r"rows.jsonl: has the columns 'sentence', 'label', and boolq is read from"):
        new_yaml("boolq", train=rows, validation=rows)
    with pytest.raises(DataError, match=r"rows.jsonl: has the columns 'sentence', 'label', and mmlu is read from"):
        new_yaml("mmlu", train=rows, validation=rows)
    with pytest.raises(DataError, match="no rows"):
        new_yaml("sst2", train=rows, validation=empty)
