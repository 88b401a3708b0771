"""Trained members train on as Gaussians: each looks for the mean and the variances of its weights, all at once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import NO_EXAMPLES
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, naming_memory
from ensemble_uq_llm.models.passes import Rows
from ensemble_uq_llm.models.taps.diagonal_fisher import diagonal_fisher
from ensemble_uq_llm.models.taps.mean_field import MeanField, VariationalPlan
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData, train_epochs
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.state import TrainingState, new_state
from ensemble_uq_llm.training.step import within_options
from ensemble_uq_llm.training.walking.kept_mean_fields import KeptMeanFields
from ensemble_uq_llm.training.walking.variational_newton import VariationalNewton
from ensemble_uq_llm.training.walking.walk import as_trained, stopping_limits
from ensemble_uq_llm.utils.seeding import derive_seed

WARMUP: Final = 10
"""The rate rises over the first of so many parts of the steps, and then falls to none, so that means come to rest."""


def variational_walk(
    ensemble: StackedEnsemble,
    data: TrainingData,
    config: Config,
    plan: VariationalPlan,
    *,
    listeners: Sequence[Listener] = (),
) -> list[MeanField]:
    """Let trained members train on as the plan says, each by its own order and noise; return their Gaussians.

    What is made least is `variational_newton.py`'s objective with a strength of rows / temperature, and nothing beside
    it: no dropout, no clipping, no other prior or decay. The curvatures begin as the parents' Fisher information. The
    epochs are those that would have followed the configured ones. `data.stopping` ends members that over-train; a
    warning says so where there is none. The ensemble is left as it was, and the Gaussians are of the weights as it
    holds them.

    Raises:
        StopRequested: after the step in which somebody asked for it; nothing is kept.
    """
    steps_in_epoch = data.steps_in_epoch(config.effective_batch_size)
    settings = _bare(config, epochs=plan.epochs)
    with as_trained(ensemble, settings) as factor:
        state = new_state(ensemble, settings, steps=steps_in_epoch * plan.epochs)
        limits = stopping_limits(state, data.stopping, tolerance=plan.tolerance)
        newton = _newton(state, data, plan, batch=config.effective_batch_size)
        state.optimizer = newton
        state.schedule = _schedule(newton, steps_in_epoch * plan.epochs)
        state.epoch, state.steps = config.num_epochs, steps_in_epoch * config.num_epochs
        kept = KeptMeanFields(state, newton, **limits)
        train_epochs(
            state,
            replace(data, validation=NO_EXAMPLES),
            settings,
            listeners=[*listeners, kept, lambda _event: stop.check()],
        )
    return [each.scaled(lambda name: factor if ".lora_B." in name else 1.0) for each in kept.fields]


def _bare(config: Config, *, epochs: int) -> Config:
    """Return the configuration of a training whose gradients are those of the mean loss alone."""
    return config.model_copy(
        update={
            "num_epochs": config.num_epochs + epochs,
            "keep": "last",
            "early_stopping_patience": None,
            "warmup_steps": 0,
            "lora_dropout": 0.0,
            "prior_precision": 0.0,
            "max_grad_norm": 0.0,
        }
    )


def _schedule(newton: VariationalNewton, steps: int) -> LambdaLR:
    warmup = max(1, steps // WARMUP)
    return LambdaLR(newton, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup + 1)))


@naming_memory("the members' Gaussians", FEWER_MEMBERS, "lower lora_r")
def _newton(state: TrainingState, data: TrainingData, plan: VariationalPlan, *, batch: int) -> VariationalNewton:
    strength = data.rows_of_a_member / plan.temperature
    stacks = dict(state.ensemble.named_stacks())
    device = state.ensemble.trainable()[0].device
    members = state.ensemble.members

    def generators_at(step: int) -> list[Generator]:
        return [
            Generator(device).manual_seed(derive_seed(member.seed, "variational", member.sample, step))
            for member in members
        ]

    return VariationalNewton(
        stacks,
        _curvatures(state, data, stacks),
        rate=min(1.0, plan.rate * batch / strength),
        strength=strength,
        precision=plan.precision,
        momentum=plan.momentum,
        memory=plan.memory,
        generators_at=generators_at,
    )


def _curvatures(state: TrainingState, data: TrainingData, stacks: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return every member's Fisher information, stacked."""
    sequences, options_N = data.train.sequences, data.train.options_N
    found = []
    for index, member in enumerate(state.ensemble.members):
        stop.check()
        own = data.rows_of(member.seed)
        found.append(
            diagonal_fisher(
                state.ensemble,
                index,
                [sequences[row] for row in own],
                budget=state.budget.tokens,
                logits_of=partial(_of_options, options_N=None if options_N is None else options_N[own]),
            )
        )
    return {name: torch.stack([each[name] for each in found]) for name in stacks}


def _of_options(logits_BC: Tensor, rows: Rows, *, options_N: NDArray[np.int64] | None) -> Tensor:
    """Return the logits of rows, those beyond a row's options without probability."""
    if options_N is None:
        return logits_BC
    options_B = torch.from_numpy(options_N[rows]).to(logits_BC.device)
    return within_options(logits_BC, options_B)
