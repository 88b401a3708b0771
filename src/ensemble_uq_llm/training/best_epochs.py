"""Which epoch of each member is kept: with `keep: best`, the one with the lowest loss on the stopping split.

The stopping split is a part of the calibration split that is used for nothing else: what has chosen an epoch cannot
promise anything any more. A member is judged by itself, so its epoch does not depend on its company.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.training.outcomes import MemberOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BestEpochs:
    """Every member's weights after its best epoch so far; its losses and the choice stand in its outcome.

    `patience` is the number of epochs without a better one after which a member is not trained any further; None
    trains all epochs.
    """

    patience: int | None
    stacks: dict[str, Tensor]

    @staticmethod
    def of(ensemble: StackedEnsemble, *, patience: int | None) -> "BestEpochs":
        """Return the record before the first epoch."""
        return BestEpochs(
            patience=patience, stacks={name: stack.detach().clone() for name, stack in ensemble.named_stacks()}
        )

    @torch.no_grad()
    def note_epoch(self, ensemble: StackedEnsemble, outcomes: Sequence[MemberOutcome], losses: Sequence[float]) -> None:
        """Take in the losses on the stopping split after an epoch, one a member; of those not in training, nothing."""
        for member, (outcome, loss) in enumerate(zip(outcomes, losses, strict=True)):
            if not outcome.is_training:
                continue
            best = min(filter(math.isfinite, outcome.stopping_losses), default=math.inf)
            outcome.stopping_losses.append(loss)
            epoch = len(outcome.stopping_losses)
            if loss < best:
                outcome.kept_epoch = epoch
                for name, stack in ensemble.named_stacks():
                    self.stacks[name][member].copy_(stack[member])
            elif self.patience is not None and epoch - (outcome.kept_epoch or 0) >= self.patience:
                outcome.stopped_after = epoch

    @torch.no_grad()
    def put_back(self, ensemble: StackedEnsemble, outcomes: Sequence[MemberOutcome]) -> None:
        """Give every member the weights of its best epoch."""
        for member, outcome in enumerate(outcomes):
            if outcome.kept_epoch is not None:
                for name, stack in ensemble.named_stacks():
                    stack[member].copy_(self.stacks[name][member])
