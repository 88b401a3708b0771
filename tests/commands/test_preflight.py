import json
import shutil
import tempfile

import pytest

from ensemble_uq_llm.commands.preflight import check_everything
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config, usable_part
from ensemble_uq_llm.errors import (
    ConfigError,
    DataError,
    IntegrityError,
    ModelError,
    StorageError,
    UnreachableModelError,
)
from ensemble_uq_llm.models import base
from ensemble_uq_llm.models.base_files import TEMPLATE
from ensemble_uq_llm.pipeline import predict
from ensemble_uq_llm.storage.change import change_of
from ensemble_uq_llm.utils.files import read_json, write_json


@pytest.fixture
def config(tiny_yaml):
    return load_config(tiny_yaml)


def told(config, **more):
    """The lines of what is wrong with a configuration after changes."""
    with pytest.raises((ConfigError, DataError, IntegrityError), match=r".") as caught:
        check_everything(config.model_copy(update=more))
    return type(caught.value), str(caught.value).split("\n")


def test_what_is_right_is_said_in_facts(config, finished_run):
    facts = check_everything(config)
    assert facts["model"] == "llama, 2 layers of width 16"
    assert facts["device"].startswith("CPU")
    assert facts["output_dir"] == str(config.output_dir)
    assert "not_checked" not in facts
    assert check_everything(load_config(finished_run))["members_finished"] == 2


def test_every_problem_is_told_at_once(config, tmp_path):
    (tmp_path / "file").touch()
    kind, lines = told(
        config,
        output_dir=tmp_path / "file" / "run",
        train_file=tmp_path / "absent.jsonl",
        device="cuda:7",
        lora_layers=(0, 5),
    )
    assert kind is ConfigError
    assert [line.partition(":")[0] for line in lines] == [
        str(tmp_path / "absent.jsonl"), "output_dir", "device", "lora_layers",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"model_name": "./nowhere"}, ModelError, "model_name: there is no folder ./nowhere"),
        ({"lora_layers": (2,)}, ConfigError, "lora_layers: [2] asked for, and the model has layers 0 to 1"),
        ({"device": "cuda:9"}, ConfigError, "device: 'cuda:9' asked for"),
        ({"max_length": 3}, DataError, "more than max_length 3; raise max_length"),
        ({"train_file": None, "dataset": "boolk"}, DataError, "unknown data set 'boolk'; did you mean 'boolq'?"),
    ],
)
def test_each_problem_by_its_key(config, changes, kind, message):
    found, lines = told(config, **changes)
    assert found is kind
    assert any(message in line for line in lines)


def test_a_token_beyond_the_base_is_seen_before_training(config, tiny_base, tmp_path):
    smaller = shutil.copytree(tiny_base, tmp_path / "smaller")
    settings = json.loads((smaller / "config.json").read_text())
    (smaller / "config.json").write_text(json.dumps(settings | {"vocab_size": 5}))
    _, lines = told(config, model_name=str(smaller))
    assert any("the base's ids end at 4" in line for line in lines)
    assert any("the two files are not of one model" in line for line in lines)


def test_members_that_were_made_otherwise(own_run):
    config = load_config(own_run)
    kind, lines = told(config, lora_r=4)
    assert kind is ConfigError
    assert "  lora_r: 2 there, 4 now" in lines
    _, lines = told(config, max_train_examples=20)
    assert "  the training data differ" in lines


@pytest.mark.filterwarnings("ignore:.*made on the base")
def test_a_template_that_nothing_was_asked_in_makes_no_other_base(own_run, tiny_base, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "base")
    (copy / TEMPLATE).write_text("{{ messages }}")  # as records of earlier versions are without it
    config = load_config(own_run).model_copy(update={"model_name": str(copy)})

    assert check_everything(config)["members_finished"] == 2
    assert len(predict(config)) == 1
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    with pytest.raises(ConfigError, match="the base model's files differ"):
        check_everything(config)


def test_classes_that_the_data_do_not_tell_are_no_other_number_of_them(own_run, tmp_path):
    config = load_config(own_run).model_copy(update={"class_names": "from_data"})
    (tmp_path / "one.jsonl").write_text('{"question": "q", "passage": "p", "answer": true}\n', encoding="utf-8")
    _, lines = told(config, train_file=tmp_path / "one.jsonl")
    assert lines == [
        f"{tmp_path / 'one.jsonl'}: the labels of label_column are 'true'; class_names: from_data needs two or more "
        "classes"
    ]


def test_an_error_of_the_evaluation_file_does_not_hide_the_classes_of_the_training_file(own_run, tmp_path):
    with change_of(own_run) as change:
        for path in own_run.glob("seed_*/member.json"):
            record = read_json(path)
            new = change.root / path.relative_to(own_run)
            write_json(new, record | {"settings": record["settings"] | {"num_labels": 3}})
    rows = [{"question": "q", "passage": f"p{row}", "answer": "abc"[row % 3]} for row in range(6)]
    (tmp_path / "three.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    values = load_config(own_run).model_dump(exclude={"num_labels"})
    config = Config(**values | {"class_names": "from_data", "train_file": tmp_path / "three.jsonl"})
    _, lines = told(config, validation_file=tmp_path / "absent.jsonl")
    assert [line.partition(":")[0] for line in lines] == [str(tmp_path / "absent.jsonl")]


def test_a_torn_record_is_seen_before_training(own_run):
    (own_run / "run.json").write_text("{")
    kind, lines = told(load_config(own_run))
    assert kind is IntegrityError
    assert f"{own_run / 'run.json'}: altered after it was written" in lines[0]


def test_somebody_elses_file_is_seen_before_training(config):
    (config.output_dir / "seed_43").mkdir(parents=True)
    (config.output_dir / "seed_43" / "notes.txt").write_text("mine", encoding="utf-8")
    kind, lines = told(config)
    assert kind is StorageError
    assert lines == [
        f"output_dir: {config.output_dir / 'seed_43' / 'notes.txt'}: a file that this run did not write, and it is not "
        "overwritten; move it, or use another output_dir"
    ]


def test_a_folder_that_cannot_be_written(config, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert f"output_dir: {config.output_dir.parent}: cannot be written (Permission denied)" in told(config)[1][0]


def test_a_model_that_nobody_can_be_asked_for_is_no_problem(config, monkeypatch):
    def silent(*_, **__):
        raise UnreachableModelError("model_name: 'a/b' is not in the cache, and the hub does not answer")

    monkeypatch.setattr(base, "_download", silent)
    facts = check_everything(config.model_copy(update={"model_name": "a/b"}))
    assert facts["not_checked"] == ["model_name: 'a/b' is not in the cache, and the hub does not answer"]
    assert facts["train_examples"] == 24


def test_what_follows_from_a_wrong_value_is_no_finding(tiny_yaml):
    part = usable_part(tiny_yaml, ["train_file=3", "model_nam=x", "device=cuda:8"])
    with pytest.raises(ConfigError, match="unknown key") as caught:
        check_everything(part.config, problems=[ConfigError(each) for each in part.problems], wrong=part.wrong)
    assert [line.partition(":")[0] for line in str(caught.value).split("\n")] == [
        "--set train_file=3", "--set model_nam=x", "device",
    ]  # fmt: skip


def test_a_wrong_value_hides_no_problem_of_the_files(tiny_yaml, tmp_path):
    (tmp_path / "rows.csv").write_text("text,mark\na,b\n")
    overrides = ["num_labels=1", f"train_file={tmp_path / 'absent.csv'}", f"validation_file={tmp_path / 'rows.csv'}"]
    part = usable_part(tiny_yaml, [*overrides, "prompt_template='{txt}'", "label_column=mark"])
    problems = [ConfigError(problem) for problem in part.problems]
    with pytest.raises(ConfigError, match="num_labels: must be") as caught:
        check_everything(part.config, problems=problems, wrong=part.wrong)
    told = str(caught.value)
    assert f"{tmp_path / 'absent.csv'}: not found" in told
    assert "no row has the field 'txt'; did you mean 'text'?" in told
    assert "mark" not in told.replace("'text', 'mark'", "")


@pytest.mark.parametrize("wrong", ["label_column=[1]", "prompt_template=3"])
def test_columns_are_not_looked_for_by_a_key_that_is_wrong(tiny_yaml, wrong):
    part = usable_part(tiny_yaml, ["num_labels=1", wrong])
    with pytest.raises(ConfigError, match="num_labels: must be") as caught:
        check_everything(part.config, problems=[ConfigError(each) for each in part.problems], wrong=part.wrong)
    assert len(str(caught.value).split("\n")) == 2


def test_the_defaults_can_be_checked_without_a_hub(monkeypatch):
    monkeypatch.setattr(base, "why_hub_is_silent", lambda: "nobody is there")
    facts = check_everything(Config(model_name="nobody/nothing"))
    assert facts["train"] == "boolq from the hub, not fetched here"
    assert "is not in the cache (cache), and nobody is there" in facts["not_checked"][0]
