"""A listener of variational training that keeps every member's last Gaussian whose mean is good."""

from collections.abc import Sequence
from dataclasses import replace

from ensemble_uq_llm.models.taps.mean_field import MeanField
from ensemble_uq_llm.training.events import EpochEnded, Event
from ensemble_uq_llm.training.state import TrainingState
from ensemble_uq_llm.training.walking.snapshots import Losses
from ensemble_uq_llm.training.walking.variational_newton import VariationalNewton


class KeptMeanFields:
    """Keeps the Gaussians of the last epoch after which all is finite and the mean's loss within the member's limit.

    After an epoch that is worse a member trains on: on the way means still tremble, and come to rest at the end.
    Without `losses` only the first matters. `fields` are what is kept, in the order of the stack.
    """

    def __init__(
        self,
        state: TrainingState,
        newton: VariationalNewton,
        *,
        losses: Losses | None = None,
        limits: Sequence[float] = (),
    ) -> None:
        self._state, self._newton = state, newton
        self._losses, self._limits = losses, limits
        self._first = state.epoch
        self.fields = [MeanField() for _ in state.outcomes]

    def __call__(self, event: Event) -> None:
        """Hear of epochs, and of members that diverge on the way."""
        if isinstance(event, EpochEnded):
            self._judge(event.epoch)
        for index, outcome in enumerate(self._state.outcomes):
            if outcome.diverged_at is not None:
                self.fields[index] = replace(self.fields[index], ended=f"it diverged {outcome.divergence}")

    def _judge(self, epoch: int) -> None:
        losses = None
        if self._losses is not None:
            with self._newton.at_the_means():
                losses = self._losses()
        for index, outcome in enumerate(self._state.outcomes):
            if not outcome.is_training:
                continue
            found = MeanField(
                epochs=epoch - self._first, means=self._newton.means(index), variances=self._newton.variances(index)
            )
            if not _is_finite(found):
                outcome.diverge("its weights are not finite")
            elif losses is not None and not losses[index] <= self._limits[index]:
                why = f"after epoch {found.epochs} its mean has a loss of {losses[index]:.4g}"
                self.fields[index] = replace(self.fields[index], ended=f"{why}, above {self._limits[index]:.4g}")
            else:
                self.fields[index] = found


def _is_finite(found: MeanField) -> bool:
    return all(
        bool(tensor.isfinite().all()) for tensors in (found.means, found.variances) for tensor in tensors.values()
    )
