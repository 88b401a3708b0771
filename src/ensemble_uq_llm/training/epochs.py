"""The epochs of joint training, in memory: tokens and a state in; the state moves to the end of training."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.passes import Rows
from ensemble_uq_llm.models.trunk import cache_trunk
from ensemble_uq_llm.training.events import Ended, EpochEnded, Event, Listener, MemberDiverged, Started, Stepped
from ensemble_uq_llm.training.state import TrainingState
from ensemble_uq_llm.training.step import Trainer, epoch_batches, train_step
from ensemble_uq_llm.utils.device import describe_device


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What the members learn from, and what they are watched on."""

    train: TokenizedExamples
    validation: TokenizedExamples


def train_epochs(
    state: TrainingState, data: TrainingData, config: Config, *, listeners: Sequence[Listener] = ()
) -> None:
    """Train all members from where the state stands to the end of the configured epochs.

    Reads nothing from disk and writes nothing; `listeners` hear of every step, and may capture the state then.
    """
    trainer = Trainer(
        state=state,
        data=data.train,
        max_grad_norm=config.max_grad_norm,
        trunk=cache_trunk(state.ensemble, data.train.sequences, budget=state.budget.tokens),
    )
    started = time.monotonic()
    for event in _events(trainer, data, config):
        for listener in listeners:
            listener(event)
    ended = Ended(seconds=time.monotonic() - started)
    for listener in listeners:
        listener(ended)


def _events(trainer: Trainer, data: TrainingData, config: Config) -> Iterator[Event]:
    """Train, and yield what happens."""
    state = trainer.state
    yield Started(
        seeds=tuple(outcome.seed for outcome in state.outcomes),
        epochs=config.num_epochs,
        steps=config.optimizer_steps(len(data.train)),
        examples=len(data.train),
        tokens_per_pass=state.budget.tokens,
        device=describe_device(state.ensemble.trainable()[0].device),
    )
    while state.epoch < config.num_epochs:
        batches = _joint_batches(state, len(data.train), config)
        for rows_by_member in islice(batches, state.steps_in_epoch, None):
            yield from _step(trainer, rows_by_member)
        yield _end_epoch(state, data.validation)


def _joint_batches(state: TrainingState, examples: int, config: Config) -> Iterator[tuple[Rows, ...]]:
    """Yield, step by step of the state's epoch, every member's own batch."""
    size = config.effective_batch_size
    orders = (
        epoch_batches(outcome.seed, epoch=state.epoch, examples=examples, batch_size=size) for outcome in state.outcomes
    )
    return zip(*orders, strict=True)


def _step(trainer: Trainer, rows_by_member: Sequence[Rows]) -> Iterator[Event]:
    state = trainer.state
    started = time.monotonic()
    learning_rate = float(state.schedule.get_last_lr()[0])
    train_step(trainer, rows_by_member)
    seconds = time.monotonic() - started
    for outcome in state.outcomes:
        if outcome.diverged_at == state.steps:
            yield MemberDiverged(seed=outcome.seed, step=state.steps)
    yield Stepped(
        step=state.steps,
        epoch=state.epoch + 1,
        learning_rate=learning_rate,
        losses={outcome.seed: outcome.loss for outcome in state.outcomes},
        tokens_per_second=sum(int(trainer.data.lengths_N[rows].sum()) for rows in rows_by_member) / seconds,
    )


def _end_epoch(state: TrainingState, validation: TokenizedExamples) -> EpochEnded:
    """Measure every member on the labelled validation rows with the model that is being trained."""
    event = EpochEnded(epoch=state.epoch + 1, validation_loss={}, validation_accuracy={})
    labelled = np.flatnonzero(validation.labels_N >= 0)
    if labelled.size > 0:
        sequences = [validation.sequences[row] for row in labelled]
        logits_MNC = member_logits(state.ensemble, sequences, budget=state.budget.tokens)
        losses_M, accuracies_M = _loss_and_accuracy(logits_MNC, validation.labels_N[labelled])
        for outcome, loss, accuracy in zip(state.outcomes, losses_M.tolist(), accuracies_M.tolist(), strict=True):
            event.validation_loss[outcome.seed] = loss
            event.validation_accuracy[outcome.seed] = accuracy
            outcome.history.append({"epoch": event.epoch, "validation_loss": loss, "validation_accuracy": accuracy})
    state.end_epoch()
    return event


def _loss_and_accuracy(
    logits_MNC: NDArray[np.float32], labels_N: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each member's mean cross-entropy and accuracy."""
    label_log_probs_MN = np.take_along_axis(log_softmax(logits_MNC), labels_N[None, :, None], axis=2)[..., 0]
    return -label_log_probs_MN.mean(axis=1), (logits_MNC.argmax(axis=2) == labels_N).mean(axis=1)
