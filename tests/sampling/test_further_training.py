"""Makers that train further, through the command: members of a run, and foreign folders."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.filterwarnings(
    "default:.*mutual information over samples", "default:.*set keep", "default:.*ask for 5 or more"
)


def swag(call, *words: object) -> tuple[int, str]:
    code, _, said = call("posterior", *words, "--maker", "swag", "--with", "epochs=2", "--with", "tolerance=10")
    return code, " ".join(said.split())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_a_runs_members_train_further_and_a_scale_of_none_gives_their_mean(own_run, tmp_path, call):
    code, said = swag(call, own_run, "--samples", 5, "--output", tmp_path / "swag")
    assert (code, "set keep: best" in said) == (0, True), said
    record = json.loads((tmp_path / "swag" / "seed_43_sample_2" / "member.json").read_text())
    assert (record["maker"], record["maker_settings"]["epochs"], record["facts"]["snapshots"] > 2) == ("swag", 2, True)
    code, said = swag(call, own_run, "--samples", 5, "--with", "scale=0", "--output", tmp_path / "swa")
    assert code == 0, said
    first, second = (weights(tmp_path / "swa" / f"seed_43_sample_{number}") for number in (1, 2))
    drawn = weights(tmp_path / "swag" / "seed_43_sample_1")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], drawn[name]) for name in first)
    code, _, said = call("predict", tmp_path / "swag")
    assert code == 0, said


def test_foreign_members_are_refused(own_run, tmp_path, call):
    code, said = swag(call, own_run, "--adapter", own_run / "seed_42", "--output", tmp_path / "swag")
    assert (code, "leave out --adapter" in said) == (2, True), said
    assert not (tmp_path / "swag").exists() or not list((tmp_path / "swag").glob("seed_*"))
