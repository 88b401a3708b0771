"""Trackers, against small modules in place of the real ones, which record what they are told."""

import math
import sys
from collections import defaultdict
from types import ModuleType, SimpleNamespace

import pytest

from ensemble_uq_llm.errors import ConfigError, MissingExtraError
from ensemble_uq_llm.training.events import BestKept, Ended, EpochEnded, MemberDiverged, Started, Stepped
from ensemble_uq_llm.training.listeners.trackers import tracker_of
from ensemble_uq_llm.training.loop import train
from small_runs import settings
from small_training import config

EVENTS = [
    Started(seeds=(1, 2), epochs=1, steps=2, examples=8, tokens_per_pass=9, device="cpu"),
    Stepped(step=1, epoch=1, learning_rate=0.1, losses={1: 0.7, 2: math.nan}, tokens_per_second=5.0),
    MemberDiverged(seed=2, step=1),
    Stepped(step=1, epoch=1, learning_rate=0.1, losses={3: 0.6}, tokens_per_second=7.0, group=1),
    Stepped(step=2, epoch=1, learning_rate=0.2, losses={1: 0.5}, tokens_per_second=6.0),
    EpochEnded(epoch=1, validation_loss={1: 0.4}, validation_accuracy={1: 0.9}, stopping_loss={1: 0.3}),
    EpochEnded(epoch=1, validation_loss={3: 0.8}, validation_accuracy={3: 0.2}, group=1),
    BestKept(epochs={1: 1}),
    Ended(seconds=3.0),
]

CURVES = {
    "seed_1/loss": [(1, 0.7), (2, 0.5)],
    "seed_3/loss": [(1, 0.6)],
    "learning_rate": [(1, 0.1), (1, 0.1), (2, 0.2)],
    "device_0/tokens_per_second": [(1, 5.0), (2, 6.0)],
    "device_1/tokens_per_second": [(1, 7.0)],
    "seed_1/validation_loss": [(2, 0.4)],
    "seed_1/validation_accuracy": [(2, 0.9)],
    "seed_1/stopping_loss": [(2, 0.3)],
    "seed_3/validation_loss": [(1, 0.8)],
    "seed_3/validation_accuracy": [(1, 0.2)],
    "epoch": [(2, 1), (1, 1)],
    "seed_1/kept_epoch": [(2, 1)],
}


class FakeWriter:
    """torch's SummaryWriter, as far as it is used."""

    made: list = []  # noqa: RUF012 (a class of a test)

    def __init__(self, log_dir):
        self.log_dir, self.curves, self.is_open = log_dir, defaultdict(list), True
        self.made.append(self)

    def add_scalar(self, name, value, step):
        assert self.is_open
        self.curves[name].append((step, value))

    def close(self):
        self.is_open = False


class FakeRun:
    """A run of W&B, as far as it is used."""

    def __init__(self, **arguments):
        self.arguments, self.curves, self.is_open, self.axes = arguments, defaultdict(list), True, []

    def define_metric(self, name, *, step_metric):
        self.axes.append((name, step_metric))

    def log(self, numbers):
        assert self.is_open
        for name, value in numbers.items():
            self.curves[name].append((numbers["step"], value))

    def finish(self):
        self.is_open = False


@pytest.fixture
def writers(monkeypatch):
    monkeypatch.setattr(FakeWriter, "made", [])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=FakeWriter))
    return FakeWriter.made


@pytest.fixture
def wandb(monkeypatch):
    fake = ModuleType("wandb")
    fake.runs, fake.Error = [], type("Error", (Exception,), {})
    fake.init = lambda **arguments: fake.runs.append(FakeRun(**arguments)) or fake.runs[-1]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def without_nan(curves):
    return {name: points for name, all_points in curves.items() if (points := [p for p in all_points if p[1] == p[1]])}


def test_tensorboard_is_told_every_number(writers, tmp_path):
    with tracker_of(config(log_to="tensorboard", output_dir=tmp_path / "run")) as tracker:
        assert writers == []
        for event in EVENTS:
            tracker(event)
        [writer] = writers
        assert writer.is_open
    assert not writer.is_open
    assert writer.log_dir == str(tmp_path / "run" / "tensorboard")
    assert without_nan(writer.curves) == CURVES
    assert [step for step, _ in writer.curves["seed_2/loss"]] == [1], "a loss that is no number is told, too"


def test_wandb_is_told_every_number(wandb, tmp_path):
    with tracker_of(config(log_to="wandb", output_dir=tmp_path / "my run")) as tracker:
        for event in EVENTS:
            tracker(event)
    [run] = wandb.runs
    assert not run.is_open
    assert run.axes == [("*", "step")]
    assert {key: run.arguments[key] for key in ("name", "project", "dir")} == {
        "name": "my run",
        "project": "ensemble-uq",
        "dir": str(tmp_path / "my run"),
    }
    assert run.arguments["config"]["learning_rate"] == config().learning_rate
    curves = without_nan(run.curves)
    assert curves.pop("step")
    assert curves == CURVES


def test_wandb_that_cannot_begin_says_what_to_do_and_leaves_no_run(wandb, tiny_base, tiny_data, tmp_path):
    def refuse(**_):
        raise wandb.Error("api_key not configured (no-tty)\nmore")

    wandb.init = refuse
    with pytest.raises(
        ConfigError, match=r"log_to: wandb cannot begin \(api_key not configured \(no-tty\)\); log in wi"
    ):
        train(settings(tiny_base, tiny_data, tmp_path / "run", log_to="wandb", num_ensemble_models=1))
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_told_before_anything_is_trained(
    name, tiny_base, tiny_data, tmp_path, monkeypatch
):
    for module in (name, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
    with pytest.raises(MissingExtraError, match=rf"{name} is not installed, .*'ensemble-uq-llm\[{name}\]'$"):
        train(settings(tiny_base, tiny_data, tmp_path / "run", log_to=name))
    assert not (tmp_path / "run").exists()


def test_a_training_that_never_begins_opens_no_tracker(writers, tiny_base, tiny_data, tmp_path):
    with pytest.raises(ConfigError, match="lora_layers"):
        train(settings(tiny_base, tiny_data, tmp_path / "run", log_to="tensorboard", lora_layers=(7,)))
    assert writers == []
    assert not (tmp_path / "run").exists()


def test_a_whole_training_is_told_and_closed(writers, tiny_base, tiny_data, tmp_path):
    train(settings(tiny_base, tiny_data, tmp_path / "run", log_to="tensorboard", num_ensemble_models=2))
    [writer] = writers
    assert not writer.is_open
    assert [step for step, _ in writer.curves["seed_2/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in writer.curves["seed_1/validation_loss"]] == [3, 6]


def test_without_the_key_there_is_none():
    assert tracker_of(config()) is None
