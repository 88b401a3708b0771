import io
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from ensemble_uq_llm import pipeline
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data import prepare, tokenize
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.errors import ConfigError, DataError, MembersFailedError
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS
from ensemble_uq_llm.pipeline import demo_config, predict, run_all, shift_names, train_with_display
from ensemble_uq_llm.predictions.parquet import read_predictions, write_predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.files import read_json, sha256_of, write_json
from ensemble_uq_llm.verification.acceptance import accept

QUIET = Console(quiet=True)


@pytest.fixture
def config(own_run):
    return load_config(own_run / "config.yaml", [f"output_dir={own_run}"])


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("members were loaded before the sets were checked")

    monkeypatch.setattr(pipeline, "load_members", fail)


def fail_training(monkeypatch):
    def diverge(*_, **__):
        raise MembersFailedError("1 of 3 members diverged")

    monkeypatch.setattr(pipeline, "train_with_display", diverge)


def test_the_survivors_predict_and_the_failure_is_handed_back(config, monkeypatch):
    fail_training(monkeypatch)
    folder = RunFolder(config.output_dir)
    folder.predictions("validation").unlink()
    failure = run_all(config.model_copy(update={"seeds": (42, 7, 43), "num_ensemble_models": 3}), console=QUIET)
    assert str(failure) == "1 of 3 members diverged"
    assert read_predictions(folder.predictions("validation")).members == trained((42, 43))


def test_without_survivors_the_failure_is_raised(config, monkeypatch, nothing_is_loaded):
    fail_training(monkeypatch)
    with pytest.raises(MembersFailedError, match="1 of 3 members diverged"):
        run_all(config.model_copy(update={"seeds": (7, 8)}), console=QUIET)


def test_training_is_shown(tiny_yaml):
    stream = io.StringIO()
    folder = train_with_display(load_config(tiny_yaml), console=Console(file=stream))
    assert folder.members() == [MemberId(seed) for seed in [42, 43]]
    assert stream.getvalue().startswith("training 2 members jointly on 24 examples")
    assert "trained in" in stream.getvalue()


def test_a_finished_run_is_not_trained_again(config, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in config.output_dir.rglob("*")}
    train_with_display(config, console=QUIET)
    assert {path: path.stat().st_mtime_ns for path in config.output_dir.rglob("*")} == before


def test_a_run_loads_and_tokenises_every_split_once(tiny_yaml, other_data, monkeypatch):
    config = load_config(tiny_yaml, ["calibration_fraction=0.25", f"validation_file={other_data}"])
    loaded, tokenised = Counter(), Counter()
    load, tokenize_all = prepare.load_split, tokenize.tokenize_examples

    def load_split(request, columns):
        loaded[request.split] += 1
        return load(request, columns)

    def tokenize_examples(examples, **settings):
        tokenised[len(examples)] += 1
        return tokenize_all(examples, **settings)

    monkeypatch.setattr(prepare, "load_split", load_split)
    monkeypatch.setattr(tokenize, "tokenize_examples", tokenize_examples)
    assert run_all(config, console=QUIET) is None
    assert loaded == {"train": 1, "validation": 1}
    assert tokenised == {18: 1, 6: 1, 24: 1}  # train, calibration, validation
    assert RunFolder(config.output_dir).prediction_names() == ["validation", "calibration"]


@pytest.fixture
def predicted_names(monkeypatch):
    """The names of the sets that are predicted from here on."""
    names = []
    write = pipeline.write_set
    monkeypatch.setattr(pipeline, "write_set", lambda *args, **more: names.append(more["name"]) or write(*args, **more))
    return names


def test_what_is_fresh_is_left_alone(config, predicted_names, nothing_is_loaded):
    before = {path: path.stat().st_mtime_ns for path in config.output_dir.rglob("*")}
    assert run_all(config, console=QUIET) is None
    assert {path: path.stat().st_mtime_ns for path in config.output_dir.rglob("*")} == before
    assert predicted_names == []


def test_a_further_member_makes_a_run_predict_everything_again(config, tiny_data, predicted_names):
    predict(config, [str(tiny_data)], name="again")
    del predicted_names[:]
    more = config.model_copy(update={"seeds": (42, 43, 5), "num_ensemble_models": None})
    assert run_all(more, console=QUIET) is None
    assert predicted_names == ["validation", "again"]
    folder = RunFolder(config.output_dir)
    assert {read_predictions(folder.predictions(name)).members for name in predicted_names} == {trained((42, 43, 5))}
    evaluate_run(folder, draws=0)
    assert run_all(more, console=QUIET) is None
    assert predicted_names == ["validation", "again"]


def test_what_cannot_be_had_any_more_is_left_to_the_evaluation(config, tiny_data, tmp_path, predicted_names):
    gone = shutil.copy(tiny_data, tmp_path / "gone.jsonl")
    predict(config, [str(gone)])
    gone.unlink()
    del predicted_names[:]
    assert run_all(config.model_copy(update={"seeds": (42, 43, 5)}), console=QUIET) is None
    assert predicted_names == ["validation"]
    with pytest.raises(DataError, match=r"1 of 2 predicted sets is stale.*\n  gone: predicted without seed 5"):
        evaluate_run(config.output_dir, draws=0)


def other_weights(config):
    folder = config.output_dir / "seed_43"
    tensors = {name: each * 1.5 for name, each in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    record = read_json(folder / "member.json") | {"weights_sha256": sha256_of(folder / WEIGHTS)}
    write_json(folder / "member.json", record)
    accept(RunFolder(config.output_dir))
    return config


def other_labels(config):
    text = config.validation_file.read_text().replace('"answer": true', '"answer": false')
    (config.output_dir / "other.jsonl").write_text(text)
    return config.model_copy(update={"validation_file": config.output_dir / "other.jsonl"})


def foreign_adapters(config):
    predict(config, adapters=[config.output_dir / "seed_42"])
    return config


def an_earlier_version(config):
    path = RunFolder(config.output_dir).predictions("validation")
    write_predictions(path, replace(read_predictions(path), origin=None))
    accept(RunFolder(config.output_dir))
    return config


def no_file(config):
    RunFolder(config.output_dir).predictions("validation").unlink()
    return config


@pytest.mark.parametrize("change", [other_weights, other_labels, foreign_adapters, an_earlier_version, no_file])
def test_what_would_be_predicted_otherwise_now_is_predicted_again(config, predicted_names, change):
    config = change(config)
    del predicted_names[:]
    assert run_all(config, console=QUIET) is None
    assert predicted_names == ["validation"]


def test_a_file_is_predicted_under_its_name_or_another(config, tiny_data):
    [path] = predict(config, [str(tiny_data)])
    assert path == config.output_dir / "predictions" / "questions.parquet"
    [other] = predict(config, [str(tiny_data)], name="again")
    assert other.name == "again.parquet"
    assert np.array_equal(read_predictions(other).logits_MNC, read_predictions(path).logits_MNC)
    assert read_predictions(other).origin == read_predictions(path).origin


def test_several_sets_with_one_loading(config, tiny_data, monkeypatch):
    loads = []
    load = pipeline.load_members
    monkeypatch.setattr(pipeline, "load_members", lambda *args, **more: loads.append(1) or load(*args, **more))
    paths = predict(config, ["validation", str(tiny_data)])
    assert [path.stem for path in paths] == ["validation", "questions"]
    assert loads == [1]


def test_adapter_folders_instead_of_the_run(config, own_run, tmp_path):
    foreign = (own_run / "seed_43").rename(tmp_path / "seed_7")
    [path] = predict(config, adapters=[foreign])
    assert read_predictions(path).members == trained((7,))


@pytest.mark.parametrize(
    ("sets", "name", "error", "message"),
    [
        (["a/x.jsonl", "b/x.csv"], None, ConfigError, "b/x.csv: its predictions would be named 'x', as those of a/x"),
        (["validation", "validation"], None, ConfigError, "would be named 'validation', as those of validation"),
        (["my questions.jsonl"], None, ConfigError, "'my questions' cannot name a set: .*; give one with --name"),
        (["x.jsonl"], "../up", ConfigError, r"'\.\./up' cannot name a set"),
        (["absent.jsonl"], None, DataError, r"absent\.jsonl: not found"),
        (["nonsense"], None, DataError, "data: 'nonsense' is neither a file here nor a set"),
    ],
)
def test_bad_sets_are_told_before_anything_is_loaded(config, nothing_is_loaded, sets, name, error, message):
    with pytest.raises(error, match=message):
        predict(config, sets, name=name)


def test_the_demo_is_a_configuration_of_the_embedded_world():
    config = load_config(demo_config())
    assert (config.model_name, config.dataset) == ("embedded", "synthetic")
    assert config.device == "auto"


def test_the_shifted_sets_are_sets_of_the_world():
    names = shift_names()
    assert names
    assert set(names) < {each.name for each in synthetic.SETS}
    assert not {"train", "validation"} & set(names)
