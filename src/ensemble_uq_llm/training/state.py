"""All that training changes, as one object: it can be captured at any step and restored into a fresh ensemble.

Order and dropout are drawn anew from a member's seed and the position, so no random state belongs to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_linear_schedule_with_warmup

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, token_budget
from ensemble_uq_llm.training.best_epochs import BestEpochs
from ensemble_uq_llm.training.outcomes import MemberOutcome

BUDGET: Final = "tokens_per_pass"
"""The value of a snapshot that may be left out of it: the passes are then as large as they were to be anyway."""

_HISTORY: Final = ("epoch", "validation_loss", "validation_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One moment of training: tensors on the CPU by name, and the plain values that JSON holds."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """The stacks of all members, the optimiser and its schedule, the position, and what became of each member so far.

    The position is the `epoch` (from 0), the steps taken in it, and the steps taken in all. Between two steps the
    state is whole: listeners hear of a step when everything of it is noted.
    """

    ensemble: StackedEnsemble
    optimizer: Optimizer
    schedule: LambdaLR
    budget: PassBudget
    outcomes: list[MemberOutcome]
    best: BestEpochs | None = None
    """The members' best epochs so far, with `keep: best`."""
    epoch: int = 0
    steps_in_epoch: int = 0
    steps: int = 0
    trunk_tokens: int | None = None
    """The tokens of the passes by which the states of the trunk were made; 0: they are not kept; None: not begun."""

    def is_anyone_training(self) -> bool:
        """Whether there is a member that has neither stopped nor diverged."""
        return any(outcome.is_training for outcome in self.outcomes)

    def note_step(self, losses: Sequence[float]) -> None:
        """Advance by a step that had these losses, one a member."""
        self.steps += 1
        self.steps_in_epoch += 1
        for outcome, loss in zip(self.outcomes, losses, strict=True):
            if outcome.is_training:
                outcome.note_loss(self.steps, loss)

    def end_epoch(self) -> None:
        """Advance to the first step of the next epoch."""
        self.epoch += 1
        self.steps_in_epoch = 0

    def capture(self) -> Snapshot:
        """Return a copy of the state, which later steps leave alone."""
        tensors: dict[str, Tensor] = {}
        for name, stack in self.ensemble.named_stacks():
            tensors[f"stack/{name}"] = stack
            tensors |= {f"optimizer/{key}/{name}": value for key, value in self.optimizer.state.get(stack, {}).items()}
        # A diverged member's numbers are NaN, which JSON does not have.
        losses = [(each.loss, each.first_loss, each.window_loss) for each in self.outcomes]
        tensors["outcomes/loss"] = torch.tensor(losses, dtype=torch.float64)
        tensors["outcomes/history"] = _history_tensor(self.outcomes)
        tensors["outcomes/stopping"] = _padded([each.stopping_losses for each in self.outcomes])
        if self.best is not None:
            tensors |= {f"best/{name}": stack for name, stack in self.best.stacks.items()}
        return Snapshot(
            tensors={name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()},
            values={
                "members": [[member.seed, member.sample] for member in self.ensemble.members],
                "epoch": self.epoch,
                "steps_in_epoch": self.steps_in_epoch,
                "steps": self.steps,
                BUDGET: self.budget.tokens,
                "trunk_tokens": self.trunk_tokens,
                "schedule": self.schedule.state_dict(),
                "outcomes": [
                    {
                        "steps": each.steps,
                        "diverged_at": each.diverged_at,
                        "diverged_why": each.diverged_why,
                        "kept_epoch": each.kept_epoch,
                        "stopped_after": each.stopped_after,
                        "epochs": [len(each.history), len(each.stopping_losses)],
                    }
                    for each in self.outcomes
                ],
            },
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot holds; the ensemble must have its members on a base of its form.

        Raises:
            IntegrityError: it is a snapshot of other members, or of stacks of other names or shapes.
        """
        self._check_fits(snapshot)
        values = snapshot.values
        with torch.no_grad():
            for name, stack in self.ensemble.named_stacks():
                stack.copy_(snapshot.tensors[f"stack/{name}"])
        self._restore_optimizer(snapshot.tensors, values["schedule"])
        self.budget.tokens, self.trunk_tokens = values.get(BUDGET, self.budget.tokens), values["trunk_tokens"]
        self.epoch, self.steps_in_epoch, self.steps = (values[key] for key in ("epoch", "steps_in_epoch", "steps"))
        if self.best is not None:
            for name, kept in self.best.stacks.items():
                kept.copy_(snapshot.tensors[f"best/{name}"])
        self._restore_outcomes(snapshot)

    def _restore_outcomes(self, snapshot: Snapshot) -> None:
        tensors = (snapshot.tensors[f"outcomes/{name}"].tolist() for name in ("loss", "history", "stopping"))
        for outcome, kept, losses, history, stopping in zip(
            self.outcomes, snapshot.values["outcomes"], *tensors, strict=True
        ):
            outcome.loss, outcome.first_loss, outcome.window_loss = losses
            outcome.steps = kept["steps"]
            outcome.diverged_at, outcome.diverged_why = kept["diverged_at"], kept["diverged_why"]
            outcome.kept_epoch, outcome.stopped_after = kept["kept_epoch"], kept["stopped_after"]
            epochs, stopping_epochs = kept["epochs"]
            outcome.history = [dict(zip(_HISTORY, (int(row[0]), *row[1:]), strict=True)) for row in history[:epochs]]
            outcome.stopping_losses = stopping[:stopping_epochs]

    def _check_fits(self, snapshot: Snapshot) -> None:
        members = [[member.seed, member.sample] for member in self.ensemble.members]
        if snapshot.values["members"] != members:
            raise IntegrityError(
                f"the training state is that of the members {snapshot.values['members']}, and these are {members} "
                "(seed, sample); restore it into an ensemble of the same members"
            )
        there = {name: tuple(each.shape) for name, each in snapshot.tensors.items() if name.startswith("stack/")}
        here = {f"stack/{name}": tuple(stack.shape) for name, stack in self.ensemble.named_stacks()}
        if different := sorted(name for name in there | here if there.get(name) != here.get(name)):
            name = different[0]
            raise IntegrityError(
                f"the training state does not fit the ensemble: {name} is {there.get(name, 'absent')} there and "
                f"{here.get(name, 'absent')} here; restore it with the same base and LoRA settings"
            )

    def _restore_optimizer(self, tensors: Mapping[str, Tensor], schedule: dict[str, Any]) -> None:
        kept: dict[int, dict[str, Tensor]] = {}
        for index, (name, _) in enumerate(self.ensemble.named_stacks()):
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"optimizer/{key}/{name}" in tensors]
            if keys:  # there is nothing to keep before the first step
                kept[index] = {key: tensors[f"optimizer/{key}/{name}"].clone() for key in keys}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": kept, "param_groups": groups})
        self.schedule.load_state_dict(schedule)
        for group, rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = rate


def new_state(ensemble: StackedEnsemble, config: Config, *, steps: int) -> TrainingState:
    """Return the state before the first of so many steps."""
    parameters = ensemble.trainable()
    device = parameters[0].device
    optimizer, schedule = make_optimizer(parameters, config, steps=steps)
    tokens = token_budget(ensemble.decoder, wanted=config.tokens_per_pass, training=True, device=device)
    return TrainingState(
        ensemble=ensemble,
        optimizer=optimizer,
        schedule=schedule,
        budget=PassBudget(tokens),
        outcomes=[MemberOutcome(seed=member.seed) for member in ensemble.members],
        best=BestEpochs.of(ensemble, patience=config.early_stopping_patience) if config.keep == "best" else None,
    )


def make_optimizer(parameters: Sequence[nn.Parameter], config: Config, *, steps: int) -> tuple[AdamW, LambdaLR]:
    """Return AdamW (arXiv 1711.05101) and its schedule: linear warm-up, then linear decay to zero at `steps`.

    AdamW works on every entry by itself, so on tensors stacked over members it does what K optimisers would do.
    """
    # foreach, not fused: the fused CPU kernel rounds the ends of a tensor otherwise, so a member would feel its place
    optimizer = AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, foreach=True)
    return optimizer, get_linear_schedule_with_warmup(optimizer, config.warmup_steps, steps)


def _history_tensor(outcomes: Sequence[MemberOutcome]) -> Tensor:
    """Return every member's validation history: float64 [M, epochs, 3], NaN after the epoch that it stopped with."""
    columns = [_padded([[entry[key] for entry in outcome.history] for outcome in outcomes]) for key in _HISTORY]
    return torch.stack(columns, dim=-1)


def _padded(rows: Sequence[Sequence[float]]) -> Tensor:
    """Return rows of different length as a float64 matrix, NaN where one is shorter."""
    padded = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return torch.from_numpy(padded)
