"""How long training will take, from one small step that is taken and thrown away: an estimate, and called one."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.spec import AdapterSpec
from ensemble_uq_llm.models.passes import Rows
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.state import new_state
from ensemble_uq_llm.training.step import Trainer, epoch_batches, train_step

TOKENS: Final = 4096
"""About so many tokens of all members are trained on for the measurement."""


def estimate_seconds(
    config: Config, seeds: Sequence[int], *, base: Path, spec: AdapterSpec, data: TrainingData, device: torch.device
) -> float:
    """Return about how many seconds training these members takes on a device, checks after each epoch included.

    The second of two steps on some rows of each member is timed, and one prediction of them; time is taken to grow
    with the tokens. Nothing is kept.
    """
    decoder = load_decoder(base, device=device, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model)
    ensemble = StackedEnsemble(decoder, spec=spec, members=trained(seeds))
    state = new_state(ensemble, config, steps=2)
    trainer = Trainer(state=state, data=data.train, max_grad_norm=config.max_grad_norm)
    rows = _rows(data.train, seeds, config)
    train_step(trainer, rows)
    step = _seconds(lambda: train_step(trainer, rows)) / sum(int(data.train.lengths_N[own].sum()) for own in rows)
    sequences = [data.train.sequences[row] for row in rows[0]]
    answer = _seconds(lambda: member_logits(ensemble, sequences, budget=state.budget.tokens))
    answer /= len(seeds) * sum(map(len, sequences))
    epoch = step * int(data.train.lengths_N.sum()) + answer * _validated(data.validation)
    return config.num_epochs * len(seeds) * epoch


def _validated(validation: TokenizedExamples | None) -> int:
    """Return the tokens that are measured after an epoch."""
    return 0 if validation is None else int(validation.lengths_N[validation.labels_N >= 0].sum())


def _rows(train: TokenizedExamples, seeds: Sequence[int], config: Config) -> list[Rows]:
    """Return the rows of each member's first step, as many of them as the measurement takes."""
    most = max(1, int(TOKENS / (len(seeds) * float(train.lengths_N.mean()))))
    size = config.effective_batch_size
    return [next(epoch_batches(seed, epoch=0, examples=len(train), batch_size=size))[:most] for seed in seeds]


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
