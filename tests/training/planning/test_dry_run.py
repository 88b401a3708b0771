import json
import shutil
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, DataError, ModelError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.outcomes import MemberRecord, member_settings
from ensemble_uq_llm.training.planning import time_estimate
from ensemble_uq_llm.training.planning.dry_run import BYTES_PER_TRAINED, dry_run
from hub_content import FFN, HIDDEN, LAYERS, tiny_tokenizer_json
from small_runs import put


@pytest.fixture
def config(tiny_base, tiny_data, tmp_path):
    return Config(
        model_name=str(tiny_base),
        train_file=tiny_data,
        validation_file=tiny_data,
        seeds=(42, 43, 44),
        batch_size=3,
        gradient_accumulation_steps=3,
        num_epochs=2,
        warmup_steps=1,
        lora_r=2,
        device="cpu",
        use_bf16=False,
        tokens_per_pass=512,
        output_dir=tmp_path / "run",
    )


def with_(config, **more):
    return config.model_copy(update=more)


def finish(config, *seeds):
    """Leave the records of finished members."""
    for seed in seeds:
        record = MemberRecord(
            seed=seed,
            settings=member_settings(config),
            data_digest="d",
            base_digest="b",
            weights_sha256="w",
            steps=1,
            final_train_loss=0.5,
        )
        folder = RunFolder(config.output_dir)
        put(folder, folder.member_record(MemberId(seed)), record.as_json())


def test_counts(config):
    plan = dry_run(config)
    assert plan.seeds_to_train == [42, 43, 44]
    assert plan.seeds_finished == []
    assert plan.train.startswith("24 prompts of ")
    assert plan.optimizer_steps == 2 * 3
    assert plan.warmup_steps == 1
    assert plan.tokens_per_pass == 512
    assert plan.passes_in_first_step == 2  # nine prompts of about 28 tokens: two members fit into a pass
    assert plan.token_mean <= plan.token_p95 <= plan.token_max
    assert plan.token_median <= plan.token_max
    assert plan.train_cut == 0
    assert plan.device.startswith("CPU")


def test_parameters_and_bytes(config):
    plan = dry_run(config)
    query, value, head = 2 * (HIDDEN + HIDDEN), 2 * (HIDDEN + HIDDEN // 2), 2 * HIDDEN
    assert plan.trainable_parameters_per_member == LAYERS * (query + value) + head
    attention, mlp, norms = 3 * HIDDEN * HIDDEN, 3 * HIDDEN * FFN, 2 * HIDDEN
    vocabulary = len(json.loads(tiny_tokenizer_json())["model"]["vocab"])
    assert plan.base_parameters == LAYERS * (attention + mlp + norms) + HIDDEN + vocabulary * HIDDEN
    assert plan.base_bytes == 4 * plan.base_parameters
    assert plan.adapters_and_optimizer_bytes == 3 * plan.trainable_parameters_per_member * BYTES_PER_TRAINED
    assert plan.disk_bytes == 3 * plan.trainable_parameters_per_member * 4
    assert plan.free_bytes > 0
    assert dry_run(with_(config, use_bf16=True)).base_bytes == 2 * plan.base_parameters


def test_only_the_layers_and_modules_that_are_named_are_counted(config):
    plan = dry_run(with_(config, lora_layers=(1,), lora_target_modules=("gate_proj",)))
    assert plan.trainable_parameters_per_member == 2 * (HIDDEN + FFN) + 2 * HIDDEN


def test_the_calibration_split_is_not_trained_on(config, other_data):
    plan = dry_run(with_(config, calibration_fraction=0.25, validation_file=other_data))
    assert plan.calibration_examples == 6
    assert plan.train.startswith("18 prompts")


def test_members_that_are_there_are_not_trained_again(config):
    finish(config, 43, 99)
    plan = dry_run(config)
    assert (plan.seeds_to_train, plan.seeds_finished) == ([42, 44], [43])


def test_nothing_left_to_train(config):
    finish(config, *config.seeds)
    plan = dry_run(config)
    assert plan.seeds_to_train == []
    assert plan.passes_in_first_step == 0
    assert plan.adapters_and_optimizer_bytes == plan.disk_bytes == 0


def test_no_weights_are_needed_and_nothing_is_written(config, tiny_base, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in tiny_base.glob("*.json"):
        (bare / path.name).write_bytes(path.read_bytes())
    assert dry_run(with_(config, model_name=str(bare))).base_parameters == dry_run(config).base_parameters
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model_name": "./nowhere"}, ModelError, r"model_name: there is no folder \./nowhere"),
        ({"train_file": Path("absent.jsonl")}, DataError, r"absent\.jsonl: not found"),
        ({"max_length": 3}, DataError, "more than max_length 3"),
        ({"lora_layers": (7,)}, ConfigError, "lora_layers"),
    ],
)
def test_it_fails_as_training_would(config, change, error, message):
    with pytest.raises(error, match=message):
        dry_run(with_(config, **change))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_where_there_is_none(config):
    with pytest.raises(ConfigError, match="PyTorch finds no GPU here"):
        dry_run(with_(config, device="cuda"))


def test_members_that_training_would_refuse_are_refused_here_too(config):
    finish(config, 43)
    with pytest.raises(ConfigError, match=r"learning_rate: 0.0002 there, 0.5 now"):
        dry_run(with_(config, learning_rate=0.5))


def test_the_time_is_estimated_from_a_step_and_nothing_is_kept(config, tmp_path):
    plan = dry_run(config)
    assert plan.estimated_seconds > 0
    assert not (tmp_path / "run").exists()
    finish(config, 42, 43, 44)
    assert dry_run(config).estimated_seconds is None


def test_the_time_grows_with_the_epochs(config, monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(time_estimate.time, "monotonic", lambda: float(next(ticks)))
    once, twice = (dry_run(with_(config, num_epochs=epochs)).estimated_seconds for epochs in (1, 2))
    assert twice == pytest.approx(2 * once)


def test_without_weights_there_is_no_estimate(config, tiny_base, tmp_path):
    bare = shutil.copytree(tiny_base, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    assert dry_run(with_(config, model_name=str(bare))).estimated_seconds is None
