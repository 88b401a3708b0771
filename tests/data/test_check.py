import json
import subprocess
import sys

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.check import check, warn_if_warmup_outlasts
from ensemble_uq_llm.errors import ConfigError, DataError, EnsembleUQError


def local(tiny_data, **more):
    return Config(train_file=tiny_data, validation_file=tiny_data, warmup_steps=0, **more)


@pytest.fixture
def halves(tiny_data, tmp_path):
    """The tiny data as two files of different questions."""
    lines = tiny_data.read_text(encoding="utf-8").splitlines(keepends=True)
    for name, some in (("train", lines[:16]), ("validation", lines[16:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(some), encoding="utf-8")
    return {"train_file": tmp_path / "train.jsonl", "validation_file": tmp_path / "validation.jsonl", "warmup_steps": 0}


def test_local_files_are_counted(halves):
    config = Config(**halves, batch_size=2, gradient_accumulation_steps=2, num_epochs=3, calibration_fraction=0.25)
    assert check(config) == {
        "members": 10,
        "prompt_columns": "question, passage",
        "cut_column": "passage",
        "train_examples": 12,
        "train_classes": "no 8 (50%), yes 8 (50%)",
        "calibration_examples": 4,
        "optimizer_steps": 3 * 3,
        "validation_examples": 8,
        "validation_classes": "no 4 (50%), yes 4 (50%)",
    }


def test_data_on_the_hub_are_not_fetched():
    facts = check(Config())
    assert facts["train"] == facts["validation"] == "boolq from the hub, not fetched here"


def test_a_file_beside_the_hub(tiny_data):
    with pytest.warns(
        UserWarning, match="validation_file: not given beside train_file, so it is data set 'boolq' to e"
    ):
        facts = check(Config(train_file=tiny_data, dataset="boolq", warmup_steps=0))
    assert facts["train_examples"] == 24
    assert facts["validation"] == "boolq from the hub, not fetched here"


def test_the_embedded_world_is_local():
    config = Config(dataset="synthetic", max_train_examples=50, max_validation_examples=20, warmup_steps=0)
    facts = check(config)
    assert facts["train_examples"] == 50
    assert facts["validation_examples"] == 20


def test_the_chosen_cut_column(tiny_data):
    assert check(local(tiny_data, cut_column="question"))["cut_column"] == "question"


def test_a_warm_up_that_outlasts_training(tiny_data):
    config = local(tiny_data).model_copy(update={"warmup_steps": 100})
    with pytest.warns(UserWarning, match=r"warmup_steps: 100 warm-up steps, and training has 3: .* rises to 2% of"):
        check(config)


def test_a_warm_up_as_long_as_training_never_reaches_the_peak():
    with pytest.warns(UserWarning, match="3 warm-up steps, and training has 3: the learning rate only rises to 67% of"):
        warn_if_warmup_outlasts(Config(warmup_steps=3), 1)


@pytest.mark.parametrize(("warmup", "examples", "steps"), [(0, 1, 3), (2, 1, 3), (5, 33, 6)])
def test_a_warm_up_that_ends_in_time(warmup, examples, steps):
    assert warn_if_warmup_outlasts(Config(warmup_steps=warmup), examples) == steps


def test_every_problem_of_data_at_once(tiny_data, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"question": 1, "passage": "p"}) + "\n", encoding="utf-8")
    config = Config(train_file=bad, validation_file=tmp_path / "absent.jsonl", warmup_steps=0)
    with pytest.raises(DataError, match=r"bad\.jsonl:1: (.|\n)*absent\.jsonl: not found"):
        check(config)


def test_a_wrong_prompt_is_of_the_configuration_and_told_once(tiny_data, tmp_path):
    config = Config(prompt_template="{question", train_file=tiny_data, validation_file=tmp_path / "absent.jsonl")
    with pytest.raises(ConfigError, match=r"prompt_template '\{question'") as caught:
        check(config)
    assert str(caught.value).count("prompt_template") == 1


def test_a_column_that_the_rows_lack(tiny_data):
    with pytest.raises(DataError, match="no row has the field 'pasage'; did you mean 'passage'"):
        check(local(tiny_data, prompt_template="{question} {pasage}"))


@pytest.mark.parametrize(
    ("given", "missing", "verb"),
    [("train_file", "validation_file", "evaluate"), ("validation_file", "train_file", "train")],
)
def test_a_file_that_is_missing_never_means_the_default_data_set(tiny_data, given, missing, verb):
    with pytest.raises(ConfigError, match=f"{missing}: not given beside {given}; name the file to {verb} on, or write"):
        check(Config(**{given: tiny_data}, warmup_steps=0))
    for named in ({}, {"dataset": "boolq"}):  # as in a YAML that `init` wrote
        own = Config(**{given: tiny_data}, **named, num_labels=3, warmup_steps=0)
        with pytest.raises(EnsembleUQError, match=f"{missing}: not given beside {given}") as caught:
            check(own)
        assert "2 classes" not in str(caught.value)


def test_texts_in_two_sets_are_counted_and_said(halves):
    """What is the same is told by its text alone: the ids that repeat here are other ones."""
    rows = [json.loads(line) for line in halves["train_file"].read_text(encoding="utf-8").splitlines()]
    with halves["validation_file"].open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row | {"id": f"again {row['id']}"}) + "\n" for row in rows[:10])
    config = Config(**halves, calibration_fraction=0.5)
    with pytest.warns(UserWarning, match="repeat the text of") as caught:
        facts = check(config)
    said = [str(warning.message) for warning in caught]
    assert any("held out repeat the text of an evaluation example and are left out" in each for each in said)
    assert any("of 18 evaluation examples repeat the text of a training example" in each for each in said)
    assert facts["test_in_training"] + facts["calibration_in_test"] == 10
    assert facts["calibration_examples"] + facts["calibration_in_test"] == 8


def test_a_class_without_examples_is_said(tiny_data):
    with pytest.warns(UserWarning, match="class_names: no training example is of 'maybe'"):
        facts = check(local(tiny_data, class_names=("no", "yes", "maybe")))
    assert facts["train_classes"] == "no 12 (50%), yes 12 (50%), maybe 0 (0%)"


def test_classes_from_the_data(halves, tmp_path):
    assert check(Config(**halves, class_names="from_data"))["train_classes"] == "false 8 (50%), true 8 (50%)"
    (tmp_path / "train.jsonl").write_text('{"question": "q", "passage": "p", "answer": "a"}\n')
    with pytest.raises(DataError, match=r"(?s)needs two or more classes.*no\.jsonl: not found"):
        check(Config(**halves | {"validation_file": tmp_path / "no.jsonl"}, class_names="from_data"))


def test_an_unknown_data_set():
    with pytest.raises(DataError, match="unknown data set 'bolq'; did you mean 'boolq'") as caught:
        check(Config(dataset="bolq"))
    assert str(caught.value).count("unknown data set") == 1


def test_numpy_and_all_that_is_heavy_stay_out():
    heavy = "{'torch', 'transformers', 'datasets', 'pyarrow', 'sklearn', 'numpy', 'huggingface_hub'}"
    code = f"import sys, ensemble_uq_llm.data.check; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_wrong_number_of_classes_is_found_without_fetching() -> None:
    with pytest.raises(DataError, match=r"data set 'boolq' has 2 classes .*, not 3; set num_labels"):
        check(Config(num_labels=3))
