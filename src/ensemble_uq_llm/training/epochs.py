"""The epochs of joint training, in memory: tokens and a stack of members in, trained members and outcomes out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.memory import PassBudget, token_budget
from ensemble_uq_llm.models.passes import Rows
from ensemble_uq_llm.models.trunk import cache_trunk
from ensemble_uq_llm.training.events import Ended, EpochEnded, Event, Listener, MemberDiverged, Started, Stepped
from ensemble_uq_llm.training.optimizer import make_optimizer
from ensemble_uq_llm.training.order import epoch_batches
from ensemble_uq_llm.training.outcome import MemberOutcome
from ensemble_uq_llm.training.step import Trainer, train_step
from ensemble_uq_llm.utils.device import describe_device


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What the members learn from, and what they are watched on."""

    train: TokenizedExamples
    validation: TokenizedExamples


def train_ensemble(
    ensemble: StackedEnsemble, data: TrainingData, config: Config, *, listeners: Sequence[Listener] = ()
) -> list[MemberOutcome]:
    """Train all members of the stack for the configured epochs; the outcomes are in the stack's order.

    Reads nothing from disk and writes nothing; `listeners` hear of every step.
    """
    steps = config.optimizer_steps(len(data.train))
    seeds = tuple(member.seed for member in ensemble.members)
    parameters = ensemble.trainable()
    device = parameters[0].device
    optimizer, schedule = make_optimizer(parameters, config, steps=steps)
    budget = token_budget(ensemble.decoder, wanted=config.tokens_per_pass, training=True, device=device)
    trainer = Trainer(
        ensemble=ensemble,
        optimizer=optimizer,
        schedule=schedule,
        data=data.train,
        max_grad_norm=config.max_grad_norm,
        budget=PassBudget(budget),
        trunk=cache_trunk(ensemble, data.train.sequences, budget=budget),
    )
    outcomes = [MemberOutcome(seed=seed) for seed in seeds]

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    tell(
        Started(
            seeds=seeds,
            epochs=config.num_epochs,
            steps=steps,
            examples=len(data.train),
            tokens_per_pass=trainer.budget.tokens,
            device=describe_device(device),
        )
    )
    started = time.monotonic()
    for epoch in range(config.num_epochs):
        for rows_by_member in _joint_batches(seeds, len(data.train), config, epoch):
            for event in _step(trainer, rows_by_member, outcomes, epoch=epoch):
                tell(event)
        tell(_validate(ensemble, data.validation, outcomes, epoch=epoch, budget=trainer.budget.tokens))
    tell(Ended(seconds=time.monotonic() - started))
    return outcomes


def _joint_batches(seeds: Sequence[int], examples: int, config: Config, epoch: int) -> Iterator[tuple[Rows, ...]]:
    """Yield, step by step, every member's own batch."""
    size = config.effective_batch_size
    orders = (epoch_batches(seed, epoch=epoch, examples=examples, batch_size=size) for seed in seeds)
    return zip(*orders, strict=True)


def _step(
    trainer: Trainer, rows_by_member: Sequence[Rows], outcomes: Sequence[MemberOutcome], *, epoch: int
) -> Iterator[Event]:
    started = time.monotonic()
    step = outcomes[0].steps + 1
    learning_rate = float(trainer.schedule.get_last_lr()[0])
    losses = train_step(trainer, rows_by_member, step=step).tolist()
    tokens = sum(int(trainer.data.lengths_N[rows].sum()) for rows in rows_by_member)
    for outcome, loss in zip(outcomes, losses, strict=True):
        if outcome.note_loss(step, loss):
            yield MemberDiverged(seed=outcome.seed, step=step)
    yield Stepped(
        step=step,
        epoch=epoch + 1,
        learning_rate=learning_rate,
        losses={outcome.seed: outcome.loss for outcome in outcomes},
        tokens_per_second=tokens / (time.monotonic() - started),
    )


def _validate(
    ensemble: StackedEnsemble,
    validation: TokenizedExamples,
    outcomes: Sequence[MemberOutcome],
    *,
    epoch: int,
    budget: int,
) -> EpochEnded:
    """Measure every member on the labelled validation rows with the model that is being trained."""
    labelled = np.flatnonzero(validation.labels_N >= 0)
    event = EpochEnded(epoch=epoch + 1, validation_loss={}, validation_accuracy={})
    if labelled.size == 0:
        return event
    logits_MNC = member_logits(ensemble, [validation.sequences[row] for row in labelled], budget=budget)
    losses_M, accuracies_M = _loss_and_accuracy(logits_MNC.astype(np.float64), validation.labels_N[labelled])
    for outcome, loss, accuracy in zip(outcomes, losses_M.tolist(), accuracies_M.tolist(), strict=True):
        event.validation_loss[outcome.seed] = loss
        event.validation_accuracy[outcome.seed] = accuracy
        outcome.history.append({"epoch": epoch + 1, "validation_loss": loss, "validation_accuracy": accuracy})
    return event


def _loss_and_accuracy(
    logits_MNC: NDArray[np.float64], labels_N: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each member's mean cross-entropy and accuracy."""
    shifted_MNC = logits_MNC - logits_MNC.max(axis=2, keepdims=True)
    label_logits_MN = np.take_along_axis(shifted_MNC, labels_N[None, :, None], axis=2)[..., 0]
    losses_MN = np.log(np.exp(shifted_MNC).sum(axis=2)) - label_logits_MN
    return losses_MN.mean(axis=1), (logits_MNC.argmax(axis=2) == labels_N).mean(axis=1)
