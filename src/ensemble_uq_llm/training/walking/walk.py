"""Trained members train on at a constant rate: the moments of all trajectories at once."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch.optim.lr_scheduler import LambdaLR

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import NO_EXAMPLES, TokenizedExamples
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.taps.moments import MemberMoments, WalkPlan
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData, measure_members, train_epochs
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.state import TrainingState, new_state
from ensemble_uq_llm.training.walking.snapshots import Snapshots

WARMUP: Final = 10
"""The rate rises over the first of so many parts of the steps, in which no snapshot is taken: AdamW's own moments are
not kept with a member, and begin anew."""


def walk(
    ensemble: StackedEnsemble,
    data: TrainingData,
    config: Config,
    plan: WalkPlan,
    *,
    listeners: Sequence[Listener] = (),
) -> list[MemberMoments]:
    """Let trained members train on as the plan says, each by its own order and dropout; return their moments.

    The epochs are those that would have followed the configured ones. `data.stopping` ends trajectories that
    over-train; a warning says so where there is none. The ensemble is left as it was, and its moments are
    those of the weights as it holds them.

    Raises:
        StopRequested: after the step in which somebody asked for it; nothing of the trajectories is kept.
    """
    steps_in_epoch = data.steps_in_epoch(config.effective_batch_size)
    steps = steps_in_epoch * plan.epochs
    warmup = max(1, steps // WARMUP)
    settings = config.model_copy(
        update={
            "num_epochs": config.num_epochs + plan.epochs,
            "learning_rate": config.learning_rate * plan.rate,
            "keep": "last",
            "early_stopping_patience": None,
            "warmup_steps": 0,
        }
    )
    with as_trained(ensemble, config) as factor:
        state = new_state(ensemble, settings, steps=steps)
        state.schedule = LambdaLR(state.optimizer, lambda step: min(1.0, (step + 1) / warmup))
        state.epoch, state.steps = config.num_epochs, steps_in_epoch * config.num_epochs
        snapshots = Snapshots(
            state,
            every=max(1, (steps - warmup) // plan.snapshots),
            beyond=state.steps + warmup,
            rank=plan.rank,
            **stopping_limits(state, data.stopping, tolerance=plan.tolerance),
        )
        train_epochs(
            state,
            replace(data, validation=NO_EXAMPLES),
            settings,
            listeners=[*listeners, snapshots, lambda _event: stop.check()],
        )
    return [each.scaled(lambda name: factor if ".lora_B." in name else 1.0) for each in snapshots.moments]


def stopping_limits(state: TrainingState, stopping: TokenizedExamples | None, *, tolerance: float) -> dict[str, Any]:
    """Return what ends trajectories that over-train, as `Snapshots` takes it; nothing, and a warning, without rows."""
    if stopping is None or len(stopping) == 0:
        warnings.warn(
            "no part of the data says when further training over-trains; train with calibration_fraction, such as 0.2, "
            "which holds such a part out",
            stacklevel=3,
        )
        return {}

    def losses() -> list[float]:
        found = {id(outcome): loss for outcome, loss, _ in measure_members(state, stopping)}
        return [found.get(id(outcome), math.nan) for outcome in state.outcomes]

    return {"losses": losses, "limits": [loss * (1 + tolerance) for loss in losses()]}


@contextmanager
def as_trained(ensemble: StackedEnsemble, config: Config) -> Iterator[float]:
    """Give loaded members the scale and the dropout of their training, and afterwards all that they had before.

    Members that are loaded have their scale in B; AdamW would take other steps there. Yields what B was divided by.
    """
    factor = config.lora_alpha / config.lora_r / ensemble.spec.scaling
    stacks = dict(ensemble.named_stacks())
    kept = {name: stack.detach().clone() for name, stack in stacks.items()}
    before = (ensemble.spec.scaling, ensemble.spec.dropout)
    try:
        with torch.no_grad():
            for name, stack in stacks.items():
                if ".lora_B." in name:
                    stack.div_(factor)
        ensemble.rescale(scaling=ensemble.spec.scaling * factor, dropout=config.lora_dropout)
        with ensemble.head.answers_alone():
            yield factor
    finally:
        ensemble.rescale(scaling=before[0], dropout=before[1])
        with torch.no_grad():
            for name, stack in stacks.items():
                stack.copy_(kept[name])
                stack.grad = None
