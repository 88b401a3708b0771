"""What training would do and need, without doing it: counts, tokens, steps, passes, memory, disk."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import load_skeleton, load_tokenizer
from ensemble_uq_llm.models.checks.weights import weight_files
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.lora.spec import AdapterSpec, spec_of
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, bytes_per_token, naming_memory, token_budget
from ensemble_uq_llm.models.passes import plan_lanes
from ensemble_uq_llm.models.tokenizer import BaseTokenizer
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.from_config import base_folder, lora_settings
from ensemble_uq_llm.training.outcomes import check_same_making
from ensemble_uq_llm.training.planning.time_estimate import estimate_seconds
from ensemble_uq_llm.training.step import epoch_batches
from ensemble_uq_llm.utils.device import describe_device, devices_of, free_bytes
from ensemble_uq_llm.utils.lanes import lane_count

BYTES_PER_TRAINED = 16
"""A float32 weight, its gradient, and AdamW's two moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The plan of a training run; bytes are estimates."""

    seeds_to_train: list[int]
    seeds_finished: list[int]
    train: str
    validation: str
    calibration_examples: int
    test_in_training: int
    calibration_in_training: int
    calibration_in_test: int
    stopping_examples: int
    token_mean: float
    token_median: float
    token_p95: float
    token_max: int
    train_cut: int
    optimizer_steps: int
    warmup_steps: int
    tokens_per_pass: int
    passes_in_first_step: int
    trainable_parameters_per_member: int
    base_parameters: int
    base_bytes: int
    adapters_and_optimizer_bytes: int
    pass_bytes: int
    free_bytes: int
    disk_bytes: int
    device: str
    estimated_seconds: float | None
    """Of training, from one measured step; None where nothing is to be trained, or the weights are not here or would
    not fit."""


@naming_memory("a dry run", FEWER_MEMBERS, "lower lora_r or max_length", "set use_bf16: true")
def dry_run(config: Config) -> DryRun:
    """Plan `train` without writing anything into the run folder; a small step is taken to measure its speed.

    Raises:
        ConfigError, ModelError, DataError: as `train` would.
    """
    job = Job(config)
    calibration = job.calibration.examples if job.split.held_out else []
    folder = base_folder(config, weights=False)
    tokenizer = load_tokenizer(folder)
    train, validation = (each.tokens(tokenizer) for each in (job.train, job.validation))
    device = devices_of(config.device, num_gpus=config.num_gpus)[0]
    skeleton = load_skeleton(folder, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model)
    spec = _spec(config, skeleton, folder, tokenizer)
    run = RunFolder(config.output_dir)
    check_same_making(run, run.members(), config, digests=None)
    finished = [seed for seed in config.member_seeds if MemberId(seed) in run.members()]
    missing = [seed for seed in config.member_seeds if seed not in finished]
    budget = token_budget(skeleton, wanted=config.tokens_per_pass, training=True, device=device)
    trained = _trained(spec, skeleton)
    batch = config.effective_batch_size
    first = [next(epoch_batches(seed, epoch=0, examples=len(train), batch_size=batch)) for seed in missing]
    lanes = plan_lanes(first, train.lengths_N, budget=budget, lanes=lane_count(device))
    base = sum(parameter.numel() for parameter in skeleton.parameters())
    width = next(skeleton.parameters()).element_size()
    free = free_bytes(device)
    data = TrainingData(train=train, validation=validation if config.validate_epochs else None)
    is_measured = missing and _has_weights(folder) and 2 * base * width < free
    seconds = (
        estimate_seconds(config, missing, base=folder, spec=spec, data=data, device=device) if is_measured else None
    )
    return DryRun(
        seeds_to_train=missing,
        seeds_finished=finished,
        train=train.describe(),
        validation=validation.describe(),
        calibration_examples=len(calibration),
        stopping_examples=0 if job.stopping is None else len(job.stopping.examples),
        **asdict(job.repeats),
        **_lengths(train),
        optimizer_steps=config.optimizer_steps(len(train)),
        warmup_steps=config.warmup_steps,
        tokens_per_pass=budget,
        passes_in_first_step=sum(map(len, lanes)),
        trainable_parameters_per_member=trained,
        base_parameters=base,
        base_bytes=base * width,
        adapters_and_optimizer_bytes=len(missing) * trained * BYTES_PER_TRAINED,
        pass_bytes=max(1, len(lanes)) * budget * bytes_per_token(skeleton, training=True),
        free_bytes=free,
        disk_bytes=len(missing) * trained * 4,
        device=describe_device(device),
        estimated_seconds=seconds,
    )


def _spec(config: Config, skeleton: PreTrainedModel, folder: Path, tokenizer: BaseTokenizer) -> AdapterSpec:
    head_kind = head_kind_of(folder, answer_token_ids(config, tokenizer), bf16=config.use_bf16)
    return spec_of(lora_settings(config), skeleton, classes=config.num_labels, head_kind=head_kind)


def _trained(spec: AdapterSpec, skeleton: PreTrainedModel) -> int:
    """Return the parameters that a member trains: its adapters, and a head that is no part of the base."""
    modules: list[Any] = [skeleton.get_submodule(name) for name in spec.modules]
    sizes = [module.in_features + module.out_features for module in modules]
    hidden = skeleton.config.get_text_config().hidden_size
    if spec.adapts_head:
        sizes.append(hidden + spec.classes)
    return spec.rank * sum(sizes) + (spec.classes * hidden if spec.head_kind.tensors else 0)


def _lengths(train: TokenizedExamples) -> dict[str, Any]:
    return {
        "token_mean": float(train.lengths_N.mean()),
        "token_median": float(np.median(train.lengths_N)),
        "token_p95": float(np.quantile(train.lengths_N, 0.95)),
        "token_max": int(train.lengths_N.max()),
        "train_cut": train.num_cut,
    }


def _has_weights(folder: Path) -> bool:
    try:
        return bool(weight_files(folder))
    except ModelError:
        return False
