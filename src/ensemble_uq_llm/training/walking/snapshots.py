"""A listener of training that takes the moments of the members' weights, and ends the trajectories that over-train."""

import math
from collections.abc import Callable, Sequence

import torch

from ensemble_uq_llm.models.taps.moments import MemberMoments
from ensemble_uq_llm.training.events import EpochEnded, Event, Stepped
from ensemble_uq_llm.training.state import TrainingState

Losses = Callable[[], Sequence[float]]
"""The members' losses on the stopping split with the weights in the stacks."""


class Snapshots:
    """Notes every member's weights after every so many steps beyond the first ones; all members at once.

    Of an epoch the snapshots count where all is finite, and where the loss of the mean of all so far is within the
    member's limit; else they are forgotten, and the member trains no further. Without `losses` only the first matters.
    `moments` are what counts so far, in the order of the stack.
    """

    def __init__(
        self,
        state: TrainingState,
        *,
        every: int,
        beyond: int,
        rank: int,
        losses: Losses | None = None,
        limits: Sequence[float] = (),
    ) -> None:
        self._state, self._every, self._beyond = state, every, beyond
        self._losses, self._limits = losses, limits
        self._running = [MemberMoments(rank=rank) for _ in state.outcomes]
        self.moments = [each.copy() for each in self._running]

    def __call__(self, event: Event) -> None:
        """Hear of steps and epochs."""
        if isinstance(event, Stepped):
            since = event.step - self._beyond
            if since > 0 and since % self._every == 0:
                self._note()
        elif isinstance(event, EpochEnded):
            self._judge(event.epoch)

    def _note(self) -> None:
        stacks = dict(self._state.ensemble.named_stacks())
        for index, (outcome, running) in enumerate(zip(self._state.outcomes, self._running, strict=True)):
            if outcome.is_training:
                running.note({name: stack[index] for name, stack in stacks.items()})

    def _judge(self, epoch: int) -> None:
        losses = self._losses_of_means()
        for index, (outcome, running) in enumerate(zip(self._state.outcomes, self._running, strict=True)):
            if not outcome.is_training or running.count == self.moments[index].count:
                continue
            is_finite = all(bool(squares.isfinite().all()) for squares in running.squares.values())
            if is_finite and (losses is None or losses[index] <= self._limits[index]):
                self.moments[index] = running.copy()
            else:
                outcome.stopped_after = epoch

    @torch.no_grad()
    def _losses_of_means(self) -> Sequence[float] | None:
        """Return the loss of every member's mean, NaN of those not in training; the stacks stay as they are."""
        if self._losses is None:
            return None
        stacks = dict(self._state.ensemble.named_stacks())
        kept = {name: stack.detach().clone() for name, stack in stacks.items()}
        try:
            for index, running in enumerate(self._running):
                for name, mean in running.means.items():
                    stacks[name][index].copy_(mean)
            return [loss if math.isfinite(loss) else math.nan for loss in self._losses()]
        finally:
            for name, stack in stacks.items():
                stack.copy_(kept[name])
