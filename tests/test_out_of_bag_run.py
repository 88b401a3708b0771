"""A run with `bootstrap: balanced`, from training to what is decided: no row is ever predicted by who has seen it."""

import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.bag_design import design_of
from ensemble_uq_llm.data.bags.drawn_bags import draw_bags
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files, evaluate_run
from ensemble_uq_llm.evaluation.files.metrics_json import read_metrics
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import predict_examples
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.pipeline import own_sets, predict, run_all
from ensemble_uq_llm.posteriors.registry import maker_of
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.report.page import write_report
from ensemble_uq_llm.report.terminal import headline_table
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.sampling.further_training import further_training
from ensemble_uq_llm.sampling.posterior_run import make_posterior
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.verification.verify import verify
from small_runs import put, settings, weights

QUIET = Console(quiet=True)
BAGGED = {"bootstrap": "balanced", "num_epochs": 1, "seeds": (3, 1, 2)}


@pytest.fixture(scope="module")
def bagged(tiny_base, tiny_data, other_data, tmp_path_factory):
    """The configuration of a run of three members, each row out of one, predicted and evaluated."""
    config = settings(
        tiny_base, tiny_data, tmp_path_factory.mktemp("bagged") / "run", validation_file=other_data, **BAGGED
    )
    assert run_all(config, console=QUIET) is None
    evaluate_run(config.output_dir, draws=0)
    return config


@pytest.fixture
def config(bagged, tmp_path):
    """Of a copy that a test may change."""
    shutil.copytree(bagged.output_dir, tmp_path / "run")
    return bagged.model_copy(update={"output_dir": tmp_path / "run"})


def out_of_bag(config):
    return read_predictions(RunFolder(config.output_dir).predictions("out_of_bag"))


def test_every_training_row_is_predicted_by_exactly_the_members_that_left_it_out(bagged):
    job = Job(bagged)
    bags = draw_bags(design_of(bagged), len(job.train.examples))
    found = out_of_bag(bagged)
    assert sorted(found.ids) == sorted(example.id for example in job.train.examples)
    rows = [[example.id for example in job.train.examples].index(each) for each in found.ids]
    for m, member in enumerate(found.members):
        assert (found.left_out_MN[m] == bags.left_out_of(member.seed)[rows]).all()
        record = json.loads(RunFolder(bagged.output_dir).member_record(member).read_text())
        assert record["left_out_sha256"] == bags.digest_of(member.seed)
        assert record["settings"]["bootstrap"] == {"seeds": [1, 2, 3], "out": 1, "seed": 0}
    assert (found.left_out_MN.sum(axis=0) == 1).all()


def test_what_they_say_is_what_they_say_of_the_same_texts_in_any_set(bagged):
    found = out_of_bag(bagged)
    everything = predict_examples(load_members(bagged), Job(bagged).train)
    rows = [everything.ids.index(each) for each in found.ids]
    members = [everything.members.index(member) for member in found.members]
    expected_MNC = everything.logits_MNC[members][:, rows]
    np.testing.assert_allclose(found.logits_MNC[found.left_out_MN], expected_MNC[found.left_out_MN], atol=1e-5)


def test_the_run_calibrates_on_them_and_says_so(bagged):
    folder = RunFolder(bagged.output_dir)
    fitted = Fitted.read(folder.decision)
    assert (fitted.calibration.name, fitted.calibration.n) == ("out_of_bag", 24)
    metrics = json.loads(folder.metrics("validation").read_text())
    assert metrics["temperature"]["calibration"] == {"name": "out_of_bag", "n": 24}
    assert not folder.metrics("out_of_bag").exists()
    told = Console(record=True, width=400, quiet=False, file=io.StringIO())
    told.print(headline_table("validation", read_metrics(folder.metrics("validation"))))
    text = told.export_text()
    assert "fitted on 24 training examples by the members that left them out, changes" in text
    page = write_report(folder).read_text()
    assert page.count("training examples, each by the members that left it out of their training") == 2
    assert verify(folder).lines() == []


def test_a_calibration_split_goes_before_them(config):
    assert own_sets(config) == ["validation", "out_of_bag"]
    assert own_sets(config.model_copy(update={"calibration_fraction": 0.2})) == ["validation", "calibration"]
    assert own_sets(config.model_copy(update={"bootstrap": None})) == ["validation"]


def test_a_run_that_is_done_predicts_nothing_again(bagged, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("predicted again")

    monkeypatch.setattr("ensemble_uq_llm.pipeline.load_members", fail)
    assert run_all(bagged, console=QUIET) is None


def test_other_seeds_later_are_refused(config):
    with pytest.raises(ConfigError, match=r"bootstrap: .* now\n  with bootstrap a member's rows depend on all"):
        train(config.model_copy(update={"seeds": (3, 1, 2, 4)}))


def test_a_member_that_is_gone_is_trained_anew_on_its_own_rows(config):
    folder = RunFolder(config.output_dir)
    before = weights(folder, 2)
    shutil.rmtree(folder.member(MemberId(2)))
    train(config.model_copy(update={"seeds": (1, 2, 3)}))
    after = weights(folder, 2)
    for name, tensor in before.items():
        np.testing.assert_allclose(after[name], tensor, rtol=1e-4, atol=1e-6)


def test_of_the_members_that_are_left_each_predicts_what_it_left_out(config):
    few = config.model_copy(update={"seeds": (3, 1), "num_ensemble_models": None})
    predict(few, ["validation", "out_of_bag"])
    found = out_of_bag(config)
    bags = draw_bags(design_of(config), 24)
    assert sorted(found.members) == list(trained((1, 3)))
    assert len(found.ids) == int((bags.left_out_of(1) | bags.left_out_of(3)).sum()) < 24
    assert found.left_out_MN.sum() == len(found.ids)
    evaluate_run(config.output_dir, seeds=(3, 1), draws=0)


def test_rows_that_are_evaluated_on_calibrate_nothing(config, tiny_data, other_data, tmp_path):
    both = tmp_path / "both.jsonl"
    both.write_text(other_data.read_text() + "".join(tiny_data.read_text().splitlines(keepends=True)[:10]))
    with pytest.warns(UserWarning, match=r"out_of_bag: 10 of 24 training rows repeat the text of"):
        predict(config.model_copy(update={"validation_file": both}), ["out_of_bag"])
    assert len(out_of_bag(config).ids) == 14
    with (
        pytest.raises(DataError, match=r"no training row .* is apart from what is evaluated; evaluate on other texts"),
        pytest.warns(UserWarning, match="24 of 24 training rows repeat"),
    ):
        predict(config.model_copy(update={"validation_file": tiny_data}), ["out_of_bag"])


def test_of_given_adapters_and_of_members_that_saw_all_nobody_can_say(config, own_run, tmp_path):
    folder = RunFolder(config.output_dir)
    adapters = [folder.member(member) for member in folder.members()]
    elsewhere = config.model_copy(update={"output_dir": tmp_path / "elsewhere"})
    assert [path.stem for path in predict(elsewhere, adapters=adapters)] == ["validation"]
    with pytest.raises(DataError, match="out_of_bag: nobody can say which rows given adapters have not seen"):
        predict(config, ["out_of_bag"], adapters=adapters)
    whole = Config(**{**config.model_dump(), "bootstrap": None, "output_dir": own_run, "seeds": (42, 43)})
    with pytest.raises(DataError, match=r"was trained on all rows; set bootstrap: balanced and train in another"):
        predict(whole, ["out_of_bag"])


def test_a_run_of_samples_has_none_and_further_training_keeps_to_the_bags(config):
    with pytest.warns(UserWarning, match="train 4 members or more"):
        made = make_posterior(config, maker_of("mc_dropout", {"rate": "0.1"}), samples=5)
    assert own_sets(made) == ["validation"]
    seen = []

    def note(_, data, *__, **___):
        seen.append(data)
        return []

    further_training(config, load_members(config), Job(config), by=note, tell=lambda _: None)(None)
    assert (seen[0].bags.left_out_MN == draw_bags(design_of(config), 24).left_out_MN).all()


def test_a_record_that_tells_of_other_rows_is_found(config):
    folder = RunFolder(config.output_dir)
    path = folder.member_record(MemberId(2))
    put(folder, path, json.loads(path.read_text()) | {"left_out_sha256": "0" * 64})
    with pytest.raises(IntegrityError, match=r"seed_2/member\.json: the rows that it tells were left out are not"):
        predict(config, ["out_of_bag"])
    assert any("the rows that it tells were left out" in line for line in verify(folder).lines())


def test_the_file_alone_calibrates_other_predictions_of_these_members(bagged):
    folder = RunFolder(bagged.output_dir)
    validation = folder.predictions("validation")
    found = evaluate_files(validation, calibration=folder.predictions("out_of_bag"), draws=0)["validation"]
    own = evaluate_run(folder, draws=0)["validation"]
    assert found.fitted.temperatures.pooled == own.fitted.temperatures.pooled
    assert (found.fitted.rules, found.fitted.calibration) == (own.fitted.rules, own.fitted.calibration)
    with pytest.raises(DataError, match="are there to calibrate on"):
        evaluate_files(folder.predictions("out_of_bag"), draws=0)
