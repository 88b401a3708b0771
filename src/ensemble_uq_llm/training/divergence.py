"""When a member has diverged: it is trained no further, and why is kept; the others go on as if alone.

A loss or a gradient that is not finite ends a member at once, for its next update would make every weight NaN. So does
a loss that stays far above that of a constant answer. A single batch says little, and so do the first steps, with
weights at random or the learning rate still rising: what counts is the mean over a good part of an epoch after warm-up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.bag_design import rows_an_epoch
from ensemble_uq_llm.training.outcomes import GRADIENT_NOT_FINITE, MemberOutcome

MARGIN: Final = 2.0
"""Nats above a constant answer: the right class gets a seventh of what it would get if the question were ignored."""

FEWEST_STEPS: Final = 20
"""A window has no fewer steps, however short the epochs are, so that it is no accident of some batches."""

SPIKE: Final = 4
"""A loss counts for this many times the limit at most: one wild batch is no divergence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceRule:
    """A member has diverged where its mean loss over a window of steps is far above a constant answer's and its first.

    The first loss is that of the untrained weights: a base whose heads start far off is given the time to come down.
    It is a single batch's, so being a little above it says nothing.
    """

    constant_loss: float
    window: int
    warmup: int

    @staticmethod
    def of(labels_N: NDArray[np.int64], config: Config, *, class_weights: Sequence[float] | None) -> "DivergenceRule":
        """Return the rule for training on these labels: windows of half an epoch."""
        steps_in_epoch = config.optimizer_steps(rows_an_epoch(config, len(labels_N))) // config.num_epochs
        return DivergenceRule(
            constant_loss=constant_answers_loss(labels_N, class_weights=class_weights),
            window=max(FEWEST_STEPS, -(-steps_in_epoch // 2)),
            warmup=config.warmup_steps,
        )

    def judge(self, outcomes: Sequence[MemberOutcome], gradient_norms: Sequence[float]) -> None:
        """Let the members diverge that did so in the step that their outcomes have just noted."""
        for outcome, norm in zip(outcomes, gradient_norms, strict=True):
            if not outcome.is_training:
                continue
            if not math.isfinite(norm):
                outcome.diverge(GRADIENT_NOT_FINITE)
                continue
            self._watch(outcome)

    def _watch(self, outcome: MemberOutcome) -> None:
        step = outcome.steps - self.warmup
        if step <= 0:
            return
        limit = max(self.constant_loss, outcome.first_loss) + MARGIN
        outcome.window_loss += min(outcome.loss, SPIKE * limit)
        if step % self.window == 0:
            if outcome.window_loss > limit * self.window:
                mean = outcome.window_loss / self.window
                outcome.diverge(
                    f"a mean loss of {mean:.3g} or more over {self.window} steps, far above a constant answer's "
                    f"{self.constant_loss:.2g}"
                )
            outcome.window_loss = 0.0


def constant_answers_loss(labels_N: NDArray[np.int64], *, class_weights: Sequence[float] | None) -> float:
    """Return the least loss of one answer for all: the entropy of the classes, each with its weight in the loss."""
    counts_C = np.bincount(labels_N).astype(np.float64)
    if class_weights is not None:
        counts_C *= class_weights[: len(counts_C)]
    shares_C = counts_C[counts_C > 0] / counts_C.sum()
    return float(-(shares_C * np.log(shares_C)).sum())
