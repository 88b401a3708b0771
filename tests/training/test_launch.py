from pathlib import Path

import pytest
import torch
from ensemble_uq_llm.training.group import Source
from ensemble_uq_llm.training.member_record import Digests

from ensemble_uq_llm.data.prepare import load_training
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.launch import spread, train_on_devices
from small_runs import settings, weights

CPU = torch.device("cpu")


def test_members_on_two_devices_are_those_of_one(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    """Two processes on the CPU stand for two GPUs: each loads the base and trains its share."""
    one = settings(tiny_base, tiny_data, tmp_path / "one", use_bf16=True)
    two = settings(tiny_base, tiny_data, tmp_path / "two", use_bf16=True)
    source = Source(base=tiny_base, examples=load_training(one).kept, digests=Digests(data="d", base="b"))
    train_on_devices(one, one.seeds, source=source, devices=[CPU])
    outcomes = train_on_devices(two, two.seeds, source=source, devices=[CPU, CPU])
    assert sorted(outcome.seed for outcome in outcomes) == [1, 2, 3]
    for seed in one.seeds:
        expected, found = weights(RunFolder(one.output_dir), seed), weights(RunFolder(two.output_dir), seed)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("parts", "shares"), [(1, [[1, 2, 3, 4, 5]]), (2, [[1, 3, 5], [2, 4]]), (9, [[1], [2], [3], [4], [5]])]
)
def test_shares_are_even_and_never_empty(parts: int, shares: list[list[int]]) -> None:
    assert spread([1, 2, 3, 4, 5], parts) == shares
