"""Makers that train further, through the command: members of a run, and foreign folders."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.sampling.further_training import ShareOfSteps, watching_rows
from ensemble_uq_llm.training.events import Started, Stepped
from small_runs import settings

pytestmark = pytest.mark.filterwarnings(
    "default:.*mutual information over samples", "default:.*which holds such a part out", "default:.*ask for 5 or more"
)


def train_on(call, *words: object, maker: str = "swag") -> tuple[int, str]:
    code, _, said = call("posterior", *words, "--maker", maker, "--with", "epochs=2", "--with", "tolerance=10")
    return code, " ".join(said.split())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_a_runs_members_train_further_and_a_scale_of_none_gives_their_mean(own_run, tmp_path, call):
    code, said = train_on(call, own_run, "--samples", 5, "--output", tmp_path / "swag")
    assert (code, "train with calibration_fraction" in said) == (0, True), said
    record = json.loads((tmp_path / "swag" / "seed_43_sample_2" / "member.json").read_text())
    assert (record["maker"], record["maker_settings"]["epochs"], record["facts"]["snapshots"] > 2) == ("swag", 2, True)
    code, said = train_on(call, own_run, "--samples", 5, "--with", "scale=0", "--output", tmp_path / "swa")
    assert code == 0, said
    first, second = (weights(tmp_path / "swa" / f"seed_43_sample_{number}") for number in (1, 2))
    drawn = weights(tmp_path / "swag" / "seed_43_sample_1")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], drawn[name]) for name in first)
    code, _, said = call("predict", tmp_path / "swag")
    assert code == 0, said


def test_members_train_on_as_gaussians_and_each_has_samples_of_its_own(own_run, tmp_path, call):
    code, said = train_on(call, own_run, "--samples", 5, "--output", tmp_path / "ivon", maker="ivon")
    assert (code, "train with calibration_fraction" in said) == (0, True), said
    record = json.loads((tmp_path / "ivon" / "seed_43_sample_2" / "member.json").read_text())
    assert (record["maker"], record["maker_settings"]["epochs"], record["facts"]["epochs"]) == ("ivon", 2, 2)
    drawn = [weights(tmp_path / "ivon" / name) for name in ("seed_42_sample_1", "seed_42_sample_2", "seed_43_sample_1")]
    for first, second in pairwise([*drawn, weights(own_run / "seed_42")]):
        assert not any(torch.equal(first[name], second[name]) for name in first)
    code, _, said = call("verify", tmp_path / "ivon")
    assert code == 0, said


@pytest.mark.parametrize(
    ("keep", "fraction", "rows"), [("last", 0.5, "calibration"), ("best", 0.5, "stopping"), ("last", 0.0, None)]
)
def test_what_is_held_out_watches_and_the_stopping_split_first(
    keep, fraction, rows, tiny_base, tiny_data, other_data, tmp_path
):
    changes = {"keep": keep, "calibration_fraction": fraction, "validation_file": other_data}
    config = settings(tiny_base, tiny_data, tmp_path / "run", **changes)
    job = Job(config)
    watching = watching_rows(config, job)
    assert watching is (getattr(job, rows) if rows else None)


def test_a_trajectory_that_over_trains_ends_by_the_calibration_split(tiny_yaml, other_data, tmp_path, call):
    changes = ("calibration_fraction=0.5", f"output_dir={tmp_path}/run", f"validation_file={other_data}")
    code, _, said = call("train", tiny_yaml, *(word for each in changes for word in ("--set", each)))
    assert code == 0, said
    words = ("--with", "tolerance=0", "--with", "rate=1000")
    code, _, said = call("posterior", tmp_path / "run", "--maker", "swag", *words, "--output", tmp_path / "swag")
    assert (code, "the first epoch of further training is no good already" in said) == (2, True), said
    assert "which holds such a part out" not in said


def test_the_share_is_of_the_further_steps():
    heard = []
    listener = ShareOfSteps(heard.append)
    listener(Started(seeds=(1,), epochs=3, steps=30, step=20, examples=5, tokens_per_pass=9, device="CPU"))
    for step in (21, 25, 30):
        listener(Stepped(step=step, epoch=3, learning_rate=0.1, losses={}, tokens_per_second=1.0))
    assert heard == [0.1, 0.5, 1.0]


@pytest.mark.parametrize("maker", ["ivon", "swag"])
def test_foreign_members_are_refused(own_run, tmp_path, call, maker):
    code, said = train_on(call, own_run, "--adapter", own_run / "seed_42", "--output", tmp_path / "swag", maker=maker)
    assert (code, "leave out --adapter" in said) == (2, True), said
    assert not (tmp_path / "swag").exists() or not list((tmp_path / "swag").glob("seed_*"))
