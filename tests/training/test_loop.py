import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError, MembersFailedError
from ensemble_uq_llm.inference.classifier import EnsembleClassifier
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.run import Run
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.stop import StopRequested
from ensemble_uq_llm.training import loop
from ensemble_uq_llm.training.events import Event, Listener, Stepped
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.outcomes import LostMembers
from ensemble_uq_llm.training.share import Share, train_share
from ensemble_uq_llm.utils.files import read_json
from ensemble_uq_llm.verification.acceptance import accept
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


def lose_the_second_member(monkeypatch) -> None:
    """Let seed 2 diverge at its fifth step."""
    train_all = loop.train_shares

    def train_but_lose(shares: Sequence[Share], *, listeners: Sequence[Listener]):
        outcomes, lost = train_all(shares, listeners=listeners)
        folder = RunFolder(shares[0].config.output_dir)
        for outcome in outcomes:
            if outcome.seed == 2:
                outcome.diverged_at = 5
                shutil.rmtree(folder.member(MemberId(2)))
                accept(folder)
        return outcomes, lost

    monkeypatch.setattr(loop, "train_shares", train_but_lose)


def test_a_run_with_a_failed_member_is_used_without_it_and_trains_it_again(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, monkeypatch
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run")
    lose_the_second_member(monkeypatch)
    with pytest.raises(MembersFailedError, match=r"1 of 3 members diverged \(seed 2 at step 5\)"):
        train(config)
    record = read_json(config.output_dir / "run.json")
    assert (record["state"], record["members"]) == ("finished", ["seed_1", "seed_3"])
    assert record["failed"] == {"seed_2": "diverged at step 5"}
    run = Run(config.output_dir)
    assert (run.members, run.failed) == (trained((1, 3)), {MemberId(2): "diverged at step 5"})
    without = r"without seed 2 \(diverged at step 5\); the other members are used"
    for use in (run.predict, run.evaluate, lambda: EnsembleClassifier.from_pretrained(run)):
        with pytest.warns(UserWarning, match=without):
            use()
    assert run.predictions().members == trained((1, 3))
    monkeypatch.undo()
    assert train(config).members() == list(trained((1, 2, 3)))
    assert read_json(config.output_dir / "run.json")["failed"] == run.failed == {}
    with pytest.raises(DataError, match="validation: predicted without seed 2"):
        run.evaluate()


def test_members_added_to_an_interrupted_training_are_trained_although_one_of_it_diverges(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, monkeypatch
) -> None:
    def stop_after_a_step(event: Event) -> None:
        if isinstance(event, Stepped):
            raise StopRequested("SIGTERM")

    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=2)
    with pytest.raises(StopRequested, match="SIGTERM"):
        train(config, listeners=[stop_after_a_step])
    lose_the_second_member(monkeypatch)
    config = settings(tiny_base, tiny_data, tmp_path / "run")
    with pytest.raises(
        MembersFailedError, match=r"1 of 3 members diverged \(seed 2 at step 5\); the other 2 are saved"
    ):
        train(config)
    assert RunFolder(config.output_dir).members() == list(trained((1, 3)))
    record = read_json(config.output_dir / "run.json")
    assert [stage["seeds"] for stage in record["stages"]] == [[1], [3]]
    assert record["failed"] == {"seed_2": "diverged at step 5"}
    assert not RunFolder(config.output_dir).checkpoints.exists()


def test_a_crash_after_the_last_member_leaves_a_run(
    tiny_base: Path, tiny_data: Path, tmp_path: Path, monkeypatch
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=2)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "with_stage", crash)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(config)
    monkeypatch.undo()
    record = config.output_dir / "run.json"
    assert read_json(record)["state"] == "training"
    assert Run(config.output_dir).predict()["validation"].members == trained((1, 2))
    train(config)
    assert (read_json(record)["state"], read_json(record)["members"]) == ("finished", ["seed_1", "seed_2"])
    assert "training" not in read_json(record)


def test_what_an_earlier_version_left_unrecorded_becomes_a_run(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=1)
    folder = train(config)
    for path in (folder.config, folder.run_record, folder.manifest):
        path.unlink()
    for use in (Run, load_config):
        with pytest.raises(
            ConfigError, match=r"without config\.yaml, .*; train again with the YAML that made its members"
        ):
            use(folder)
    with pytest.raises(IntegrityError, match=r"earlier version; .* record it: ensemble-uq verify .* --accept"):
        train(config)
    accept(folder)
    train(config)
    assert Run(folder).config.member_seeds == (1,)
    assert read_json(folder.run_record)["members"] == ["seed_1"]


def test_a_base_that_cannot_be_loaded_leaves_nothing(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", lora_layers=(7,))
    with pytest.raises(ConfigError, match="lora_layers"):
        train(config)
    assert not config.output_dir.exists()


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
