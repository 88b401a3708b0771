"""The epochs of joint training, in memory: tokens and a state in; the state moves to the end of training."""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.labels.lacking_options import masked
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.memory import PassBudget
from ensemble_uq_llm.models.passes import Rows
from ensemble_uq_llm.models.trunk import TrunkCache, cache_trunk
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.divergence import DivergenceRule
from ensemble_uq_llm.training.events import (
    BestKept,
    Ended,
    EpochEnded,
    Event,
    Listener,
    MemberDiverged,
    MemberStopped,
    Started,
    Stepped,
)
from ensemble_uq_llm.training.outcomes import MemberOutcome
from ensemble_uq_llm.training.state import TrainingState
from ensemble_uq_llm.training.step import Trainer, epoch_batches, train_step
from ensemble_uq_llm.utils.device import describe_device


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What the members learn from, what they are watched on, and, with `keep: best`, what chooses their epochs.

    `validation` is None where no epoch is measured. `class_weights` are the classes' weights in the loss on `train`;
    None where all count alike.
    """

    train: TokenizedExamples
    validation: TokenizedExamples | None
    stopping: TokenizedExamples | None = None
    class_weights: tuple[float, ...] | None = None


def train_epochs(
    state: TrainingState, data: TrainingData, config: Config, *, listeners: Sequence[Listener] = ()
) -> None:
    """Train all members from where the state stands to the end of the configured epochs, or until all have stopped.

    Reads nothing from disk and writes nothing; `listeners` hear of every step, and may capture the state then. Wherever
    a listener raises StopRequested, or this does, the state is whole.
    """
    trainer = Trainer(
        state=state,
        data=data.train,
        max_grad_norm=config.max_grad_norm,
        class_weights=data.class_weights,
        trunk=_trunk(state, data.train),
        divergence=DivergenceRule.of(data.train.labels_N, config, class_weights=data.class_weights),
    )
    started = time.monotonic()
    with stop.held_back():
        for event in _events(trainer, data, config):
            for listener in listeners:
                listener(event)
        ended = Ended(seconds=time.monotonic() - started)
        for listener in listeners:
            listener(ended)


def _trunk(state: TrainingState, data: TokenizedExamples) -> TrunkCache | None:
    """Run the trunk once over all examples; a training that goes on does what it did when it began."""
    if state.trunk_tokens == 0:
        return None
    budget = state.budget if state.trunk_tokens is None else PassBudget(state.trunk_tokens)
    trunk = cache_trunk(state.ensemble, data.sequences, budget=budget)
    if trunk is None and state.trunk_tokens:
        warnings.warn(
            "the states below the adapters were kept when this training began, and do not fit the memory now: its "
            "numbers will differ by rounding from those of an undisturbed one",
            stacklevel=2,
        )
    state.trunk_tokens = 0 if trunk is None else budget.tokens
    return trunk


def _events(trainer: Trainer, data: TrainingData, config: Config) -> Iterator[Event]:
    """Train, and yield what happens."""
    state = trainer.state
    yield Started(
        seeds=tuple(outcome.seed for outcome in state.outcomes),
        epochs=config.num_epochs,
        steps=config.optimizer_steps(len(data.train)),
        examples=len(data.train),
        tokens_per_pass=state.budget.tokens,
        step=state.steps,
        epoch=state.epoch,
        device=describe_device(state.ensemble.trainable()[0].device),
    )
    while state.epoch < config.num_epochs and state.is_anyone_training():
        batches = _joint_batches(state, len(data.train), config)
        for rows_by_member in islice(batches, state.steps_in_epoch, None):
            yield from _step(trainer, rows_by_member)
            if not state.is_anyone_training():
                break
        else:
            yield from _end_epoch(state, data)
    if state.best is not None:
        state.best.put_back(state.ensemble, state.outcomes)
        kept = {each.seed: each.kept_epoch for each in state.outcomes if each.diverged_at is None}
        yield BestKept(epochs={seed: epoch for seed, epoch in kept.items() if epoch is not None})


def _joint_batches(state: TrainingState, examples: int, config: Config) -> Iterator[tuple[Rows, ...]]:
    """Yield, step by step of the state's epoch, every member's own batch; an empty one of those not in training."""
    size = config.effective_batch_size
    orders = (
        epoch_batches(outcome.seed, epoch=state.epoch, examples=examples, batch_size=size) for outcome in state.outcomes
    )
    for batches in zip(*orders, strict=True):
        yield tuple(rows if each.is_training else rows[:0] for each, rows in zip(state.outcomes, batches, strict=True))


def _step(trainer: Trainer, rows_by_member: Sequence[Rows]) -> Iterator[Event]:
    state = trainer.state
    started = time.monotonic()
    learning_rate = float(state.schedule.get_last_lr()[0])
    trained = [outcome for outcome in state.outcomes if outcome.is_training]
    train_step(trainer, rows_by_member)
    seconds = time.monotonic() - started
    for outcome in trained:
        if outcome.diverged_at is not None:
            yield MemberDiverged(seed=outcome.seed, step=state.steps, reason=outcome.diverged_why)
    yield Stepped(
        step=state.steps,
        epoch=state.epoch + 1,
        learning_rate=learning_rate,
        losses={outcome.seed: outcome.loss for outcome in trained},
        tokens_per_second=sum(int(trainer.data.lengths_N[rows].sum()) for rows in rows_by_member) / seconds,
    )


def _end_epoch(state: TrainingState, data: TrainingData) -> Iterator[Event]:
    """Measure every member with the model that is being trained, and let it stop where that is due."""
    event = EpochEnded(epoch=state.epoch + 1, validation_loss={}, validation_accuracy={})
    trained = [outcome for outcome in state.outcomes if outcome.is_training]
    measured = [] if data.validation is None else list(_measured(state, data.validation))
    stopping = [] if state.best is None or data.stopping is None else list(_measured(state, data.stopping))
    # From here on nothing stops us before the epoch is noted as a whole.
    for outcome, loss, accuracy in measured:
        event.validation_loss[outcome.seed] = loss
        event.validation_accuracy[outcome.seed] = accuracy
        outcome.history.append({"epoch": event.epoch, "validation_loss": loss, "validation_accuracy": accuracy})
    if state.best is not None and data.stopping is not None:
        event.stopping_loss.update({outcome.seed: loss for outcome, loss, _ in stopping})
        losses = [event.stopping_loss.get(outcome.seed, math.nan) for outcome in state.outcomes]
        state.best.note_epoch(state.ensemble, state.outcomes, losses)
    state.end_epoch()
    for outcome in trained:
        if outcome.stopped_after is not None:
            yield MemberStopped(seed=outcome.seed, epoch=outcome.stopped_after, kept_epoch=outcome.kept_epoch)
    yield event


def _measured(state: TrainingState, examples: TokenizedExamples) -> Iterator[tuple[MemberOutcome, float, float]]:
    """Yield every member in training with its mean loss and accuracy on the labelled examples, where there are any."""
    labelled = np.flatnonzero(examples.labels_N >= 0)
    if labelled.size > 0:
        sequences = [examples.sequences[row] for row in labelled]
        trained = {index: outcome for index, outcome in enumerate(state.outcomes) if outcome.is_training}
        logits_MNC = member_logits(
            state.ensemble,
            sequences,
            budget=state.budget.tokens,
            members=list(trained),
            tell=lambda _done, _of: stop.check(),
        )
        options_N = None if examples.options_N is None else examples.options_N[labelled]
        losses_M, accuracies_M = _loss_and_accuracy(masked(logits_MNC, options_N), examples.labels_N[labelled])
        yield from zip(trained.values(), losses_M.tolist(), accuracies_M.tolist(), strict=True)


def _loss_and_accuracy(
    logits_MNC: NDArray[np.floating], labels_N: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each member's mean cross-entropy and accuracy."""
    label_log_probs_MN = np.take_along_axis(log_softmax(logits_MNC), labels_N[None, :, None], axis=2)[..., 0]
    return -label_log_probs_MN.mean(axis=1), (logits_MNC.argmax(axis=2) == labels_N).mean(axis=1)
