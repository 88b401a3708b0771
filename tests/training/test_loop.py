import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.errors import ConfigError, DataError, MembersFailedError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training import loop
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.launch import Share, train_share
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.outcomes import LostMembers
from small_runs import settings, weights


@pytest.mark.parametrize("bf16", [False, True])
def test_adding_members_later_equals_training_them_at_once(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, bf16: bool
) -> None:
    at_once = train(settings(tiny_base, tiny_data, tmp_path / "at_once", use_bf16=bf16))
    train(settings(tiny_base, tiny_data, tmp_path / "grown", use_bf16=bf16, num_ensemble_models=1))
    first = (tmp_path / "grown" / "seed_1" / "adapter_model.safetensors").read_bytes()
    grown = train(settings(tiny_base, tiny_data, tmp_path / "grown", use_bf16=bf16))
    assert (grown.member(MemberId(1)) / "adapter_model.safetensors").read_bytes() == first, (
        "a finished member is not touched"
    )
    for seed in (1, 2, 3):
        expected, found = weights(at_once, seed), weights(grown, seed)
        for name, tensor in expected.items():
            if bf16:
                assert torch.equal(found[name], tensor)
            else:
                assert float((found[name] - tensor).abs().max()) <= 1e-4 * float(tensor.abs().max())


def test_a_finished_run_trains_nothing(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run")
    train(config)
    events: list[object] = []
    train(config, listeners=[events.append])
    assert events == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 5e-3}, "learning_rate: 0.01 there, 0.005 now"),
        ({"lora_target_modules": ("k_proj",)}, "lora_target_modules"),
        ({"max_train_examples": 20}, "the training data differ"),
    ],
)
def test_members_that_are_made_differently_are_not_mixed(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    train(settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1))
    with pytest.raises(ConfigError, match=named):
        train(settings(tiny_base, tiny_data, tmp_path / "run", **changes))


def test_diverged_members_are_reported_and_nothing_of_them_is_kept(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", learning_rate=1e35, max_grad_norm=0)
    with pytest.raises(MembersFailedError, match=r"3 of 3 members diverged \(seed 1 at step \d+.*none is saved"):
        train(config)
    assert RunFolder(config.output_dir).members() == []


def test_the_record_of_the_run_and_its_events(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    folder = train(settings(tiny_base, tiny_data, tmp_path / "run"))
    record = json.loads(folder.run_record.read_text())
    assert [stage["stage"] for stage in record["stages"]] == ["train"]
    assert record["stages"][0]["seeds"] == [1, 2, 3]
    assert record["versions"]["torch"] == torch.__version__
    events = [json.loads(line) for line in folder.events.read_text().splitlines()]
    steps = [event for event in events if event["event"] == "Stepped"]
    assert [event["step"] for event in steps] == [1, 2, 3, 4, 5, 6]
    assert all(set(event["losses"]) == {"1", "2", "3"} for event in steps)
    assert [event["epoch"] for event in events if event["event"] == "EpochEnded"] == [1, 2]


def test_bad_data_are_found_before_anything_is_written(tiny_base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"question": "q", "passage": "p", "answer": 7}\n')
    config = settings(tiny_base, broken, tmp_path / "run")
    with pytest.raises(DataError, match=r"broken\.jsonl:1: .*answer"):
        train(config)
    assert not config.output_dir.exists()


def test_a_warm_up_that_outlasts_training_is_a_warning(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", warmup_steps=100, num_ensemble_models=1)
    with pytest.warns(UserWarning, match="100 warm-up steps, and training has 6"):
        train(config)


def test_what_is_trained_is_recorded_although_a_worker_is_lost(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, monkeypatch
) -> None:
    def lose_the_second(shares: Sequence[Share], *, listeners: Sequence[Listener]):
        kept, lost = shares
        error = MembersFailedError("its process was ended by SIGKILL")
        return train_share(kept, listeners=listeners), [LostMembers(seeds=lost.seeds, device="cuda:1", error=error)]

    monkeypatch.setattr(loop, "devices_of", lambda *_, **__: [torch.device("cpu")] * 2)
    monkeypatch.setattr(loop, "train_shares", lose_the_second)
    config = settings(tiny_base, tiny_data, tmp_path / "run")
    with pytest.raises(MembersFailedError, match=r"1 of 3 members were not trained; the other 2 are saved"):
        train(config)
    folder = RunFolder(config.output_dir)
    assert folder.members() == list(trained([1, 3]))
    assert folder.config.exists()
    assert json.loads(folder.run_record.read_text())["stages"][0]["seeds"] == [1, 3]
    monkeypatch.undo()
    assert train(config).members() == list(trained([1, 2, 3])), "the same command trains what is missing"
