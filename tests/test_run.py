import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest

from ensemble_uq_llm import (
    Config,
    EnsembleClassifier,
    Predictions,
    Run,
    compare,
    compare_predictions,
    evaluate,
    evaluate_files,
    evaluate_run,
    load_config,
    load_predictions,
    predict,
    train,
    write_predictions,
    write_report,
)
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.evaluation.decisions.fitted import fit_decisions
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.run_folder import RunFolder
from recording import recorded
from small_predictions import predicted


@pytest.fixture
def run(own_run):
    return Run(own_run)


def test_a_configuration_trained_is_a_run(tiny_yaml, tmp_path):
    events = []
    run = train(str(tiny_yaml), overrides=["seeds=[5]", f"output_dir={tmp_path / 'mine'}"], listeners=[events.append])

    assert run.folder == tmp_path / "mine"
    assert (run.members, run.config.seeds) == (trained([5]), (5,))
    assert events
    assert repr(run) == f"Run({str(run.folder)!r}, 1 member, 0 predicted sets)"
    assert run.predict().keys() == {"validation"}
    assert run.predictions().members == trained([5])


def test_what_trains_takes_a_config_or_a_run_too(run):
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}

    for config in (run.config, run.folder, run):
        assert train(config).members == run.members
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_a_run_keeps_the_configuration_that_it_was_trained_with(run):
    one = run.config.model_copy(update={"seeds": (43,), "num_ensemble_models": 1})

    assert train(one).predict()["validation"].members == trained([43])
    assert Run(run.folder).predict()["validation"].members == trained([42, 43])


@pytest.mark.parametrize("kind", [str, Path, RunFolder])
def test_a_run_is_opened_by_its_folder(own_run, kind):
    run = Run(kind(own_run))

    assert (run.folder, run.members) == (own_run, trained([42, 43]))
    assert run.config == load_config(own_run)


def test_data_files_and_names(run, tiny_data, monkeypatch):
    monkeypatch.chdir(tiny_data.parent)
    for data in ("./questions.jsonl", Path("questions.jsonl"), ["questions.jsonl"], [tiny_data]):
        [(name, predictions)] = run.predict(data).items()
        assert (name, len(predictions.ids)) == ("questions", 24)
    assert run.predict("validation", name="again").keys() == {"again"}
    assert np.array_equal(run.predictions("again").logits_MNC, run.predictions().logits_MNC)


def test_predicting_with_a_folder_a_configuration_or_other_adapters(own_run, tmp_path):
    foreign = (own_run / "seed_43").rename(tmp_path / "seed_7")
    for what in (str(own_run), load_config(own_run), Run(own_run), RunFolder(own_run)):
        assert predict(what, adapters=[str(foreign)])["validation"].members == trained([7])


def test_the_base_alone_is_a_run_beside_the_run(run, call):
    with pytest.raises(ConfigError, match=r"own_zero_shot: the base has not been asked; call predict\(zero_shot="):
        run.zero_shot  # noqa: B018 (what is asked for)
    asks = {"answers": ("n", "y"), "prompt_template": "{passage} {question} Answer:"}
    asked = Run(run.config.model_copy(update=asks))
    [(name, predictions)] = asked.predict(zero_shot=True).items()
    baseline = run.zero_shot
    assert (name, predictions.answer_mass_MN.shape) == ("validation", (1, 24))
    assert np.array_equal(baseline.predictions().logits_MNC, predictions.logits_MNC)
    assert baseline.folder == run.folder.with_name("own_zero_shot") == baseline.zero_shot.folder
    assert len(run.predictions().members) == 2, "the run itself is as it was"
    metrics = {name: each.metrics for name, each in baseline.evaluate().items()}
    assert "one_minus_answer_mass" in metrics["validation"].selective
    assert baseline.report().exists()
    assert call("evaluate", baseline.folder, "--json")[0] == 0
    assert Run(baseline.folder).metrics == metrics, "as the command does"
    assert compare(run, baseline, draws=100).n == 24


def test_evaluating_writes_what_metrics_reads(run):
    evaluations = run.evaluate()

    assert {name: each.metrics for name, each in evaluations.items()} == run.metrics
    before = (run.folder / "metrics" / "validation.json").read_bytes()
    run.evaluate(draws=200, seed=3)
    assert (run.folder / "metrics" / "validation.json").read_bytes() != before
    assert evaluate_run(str(run.folder), draws=run.config.bootstrap_draws).keys() == evaluations.keys()
    assert (run.folder / "metrics" / "validation.json").read_bytes() == before


def test_shifts_and_calibration(run, tmp_path):
    far, held_out = tmp_path / "far.parquet", tmp_path / "held_out.npz"
    write_predictions(str(far), predicted(members=2))
    probs = np.full((2, 30, 2), 0.5) + np.linspace(-0.3, 0.3, 60).reshape(2, 30, 1) * [1, -1]
    np.savez(held_out, probs=probs, labels=np.arange(30) % 2, seeds=[42, 43], ids=[f"h{n}" for n in range(30)])
    with pytest.warns(UserWarning, match="^far and calibration: predictions that do not tell the digests"):
        evaluations = run.evaluate(shifts={"far": str(far)}, calibration=str(held_out))

    assert list(evaluations) == ["validation", "far"]
    assert list(run.metrics) == ["validation", "far"]


def test_the_report_is_written_by_run_folder_or_path(run):
    for write in (run.report, *(lambda each=each: write_report(each) for each in (run, str(run.folder)))):
        (run.folder / "report.html").unlink()
        assert write() == run.folder / "report.html"
        assert (run.folder / "report.html").exists()


def test_the_classifier_is_that_of_the_folder(run):
    question = {"question": "is 3 even", "passage": "The number 3 is odd."}
    answer = run.classifier().predict(question)

    other = EnsembleClassifier.from_pretrained(str(run.folder)).predict(question)
    assert np.array_equal(answer.member_probs_MNC, other.member_probs_MNC)
    assert np.array_equal(EnsembleClassifier.from_pretrained(run).predict(question).probs_NC, answer.probs_NC)


def test_comparing_anything_with_anything(run, tmp_path):
    path = tmp_path / "same.parquet"
    shutil.copy(run.folder / "predictions" / "validation.parquet", path)
    results = [compare(a, b, draws=100) for a in (run, str(run.folder), path) for b in (run.predictions(), str(path))]

    protocols = [result.protocols for result in results]
    assert all(replace(result, protocols=protocols[0]) == results[0] for result in results)
    assert [each.a.base is not None for each in protocols] == [True] * 4 + [False] * 2  # what the run alone knows
    assert all(each.b.base is None for each in protocols)


def test_files_as_strings(tmp_path):
    path = tmp_path / "mine.parquet"
    write_predictions(path, predicted())
    evaluations = evaluate_files(str(path), output=str(tmp_path / "out"), draws=100)

    assert list(evaluations) == ["mine"]
    assert load_predictions(str(path)).ids == load_predictions(path).ids
    assert json.loads((tmp_path / "out" / "metrics" / "mine.json").read_text())["name"] == "mine"


@pytest.mark.parametrize("where", ["elsewhere", "owns"])
def test_no_run_here_but_beside(own_run, where):
    (own_run.parent / "elsewhere").mkdir()
    there = "a folder without config.yaml, so not a run" if where == "elsewhere" else "there is no such run folder"
    hint = "; runs beside it are 'own'" if where == "elsewhere" else "; did you mean 'own'?"
    path = own_run.parent / where

    with pytest.raises(ConfigError, match=f"^{re.escape(f'{path}: {there}{hint}')}$"):
        Run(path)
    with pytest.raises(ConfigError, match=re.escape(there)):
        Run(load_config(own_run).model_copy(update={"output_dir": path}))


def test_no_run_anywhere(tmp_path):
    with pytest.raises(ConfigError, match="there is no such run folder; train a configuration to make one"):
        Run(tmp_path / "none" / "here")


WRONG = {
    "run of a number": (lambda run: Run(3), ConfigError, "run: a path is needed, found 3"),
    "train of nothing": (lambda run: train(None), ConfigError, "config: a path is needed, found None"),
    "train of a mapping": (lambda run: train({}), ConfigError, "config: a path is needed, found an object"),
    "overrides of a number": (lambda run: train(run, overrides=3), ConfigError, "overrides: found 3; give texts such"),
    "overrides of numbers": (lambda run: train(run, overrides=[3]), ConfigError, "overrides: found a list of 1; give"),
    "overrides of a Config": (
        lambda run: train(Config(), overrides=["lora_r=2"]), ConfigError, "overrides: they go with a YAML file",
    ),
    "an override of another key": (
        lambda run: train(run, overrides="lora_q=2"), ConfigError, "--set lora_q=2: lora_q: unknown key; did you mean",
    ),
    "data of a number": (lambda run: run.predict(3), ConfigError, "data: 3; give the path of a file, the name of a"),
    "data of numbers": (lambda run: run.predict([3]), ConfigError, "data: a path is needed, found 3"),
    "a set that is none": (lambda run: run.predict("validaton"), DataError, "neither a file here nor a set; did"),
    "a set not predicted": (
        lambda run: run.predictions("validaton"), DataError,
        "no set 'validaton' has been predicted; there are 'validation'; did you mean 'validation'?",
    ),
    "comparing a number": (lambda run: compare(run, 3), ConfigError, "compare: a path is needed, found 3"),
    "draws below 0": (lambda run: run.evaluate(draws=-1), ConfigError, "draws: must be a whole number of at"),
    "a seed below 0": (lambda run: compare(run, run, seed=-1), ConfigError, "seed: must be a whole number of at least"),
    "draws of a text": (lambda run: evaluate_run(run, draws="5"), ConfigError, "draws: must be a whole number of at"),
    "a set named by a number": (lambda run: run.predict("validation", name=3), ConfigError, "3 cannot name a set"),
    "a compared set without a name": (lambda run: compare(run, run, name=None), ConfigError, "None cannot name a set"),
    "shifts without names": (
        lambda run: run.evaluate(shifts=["a.csv"]), ConfigError, "shifts: files by their names are needed",
    ),
    "a shift of a number": (lambda run: run.evaluate(shifts={"a": 3}), ConfigError, "shifts['a']: a path is needed"),
    "a calibration of a number": (lambda run: run.evaluate(calibration=3), ConfigError, "calibration: a path is"),
    "evaluating a run of a number": (lambda run: evaluate_run(3), ConfigError, "run: a path is needed, found 3"),
    "evaluating a file of a number": (lambda run: evaluate_files(3), ConfigError, "path: a path is needed, found 3"),
    "reporting a number": (lambda run: write_report(3), ConfigError, "run: a path is needed, found 3"),
    "a configuration of a number": (lambda run: load_config(3), ConfigError, "config: a path is needed, found 3"),
    "predictions of a number": (lambda run: load_predictions(3), ConfigError, "predictions: a path is needed, found"),
    "predictions before their path": (
        lambda run: write_predictions(run.predictions(), "x.parquet"), ConfigError, "predictions: a path is needed",
    ),
    "comparing paths as predictions": (
        lambda run: compare_predictions("a", "b"), ConfigError, "compare_predictions takes Predictions, found 'a'",
    ),
    "a calibration set of an array": (
        lambda run: evaluate(run.predictions(), calibration=[[0.5]]), ConfigError, "calibration takes Predictions",
    ),
    "adapters of a number": (lambda run: predict(run, adapters=[3]), ConfigError, "adapters: a path is needed, found"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_our_errors(run, case):
    call, kind, message = WRONG[case]

    with pytest.raises(kind, match=re.escape(message)):
        call(run)


def test_a_single_adapter_folder_is_one_member(run):
    assert len(predict(run, adapters=str(run.folder / "seed_42"))["validation"].members) == 1


def test_nothing_predicted_yet(run):
    shutil.rmtree(run.folder / "predictions")
    with pytest.raises(IntegrityError, match=r"validation\.parquet: removed after it was written"):
        run.predictions()
    recorded(run.folder)
    with pytest.raises(DataError, match="no set 'validation' has been predicted; predict it first"):
        run.predictions()


def test_predictions_as_a_frame_are_the_file(run):
    path = run.folder / "predictions" / "validation.parquet"

    assert run.predictions().to_frame().equals(pandas.read_parquet(path).astype({"label": "Int64"}))


def test_reprs_are_short(run):
    big = Predictions.from_arrays(logits=np.random.default_rng(0).normal(size=(5, 3270, 2)), labels=[None] * 3270)
    evaluation = run.evaluate()["validation"]
    answer = run.classifier().predict([{"question": "is it", "passage": "so"}] * 500)
    fitted = fit_decisions(big_labelled := predicted(200), name="calibration", rng=np.random.default_rng(0), draws=0)
    decisions = fitted.apply(big_labelled, rng=np.random.default_rng(0))
    measured = (evaluation, evaluation.uncertainty, run.metrics["validation"], compare(run, run, draws=0))
    shown = [repr(each) for each in (run, big, *measured, answer, run.classifier(), fitted, decisions)]

    assert shown[1] == "Predictions(3,270 examples, 0 labelled, 2 classes, 5 members from seed 0)"
    assert all(len(each) <= 200 and "array" not in each and "\n" not in each for each in shown)
