"""The diagonal of the Fisher information: how much each weight of a member matters to what it answers.

The mean over sequences of sum_c p_c (d log p_c / d w)^2, with the member's own probabilities p and not the labels: of
a softmax this is the diagonal of the Gauss-Newton curvature of the mean loss. Never negative, and exact over the rows
that are looked at.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.pack import Tokens
from ensemble_uq_llm.models.passes import Rows
from ensemble_uq_llm.models.taps.example_gradients import example_gradients

BACKWARDS: Final = 2048
"""Every row takes a backward a class; no more of them than this, but for `FEWEST` rows."""

FEWEST: Final = 128

LogitsOf = Callable[[Tensor, Rows], Tensor]
"""The logits [B, C] of some sequences, those of classes that a sequence lacks set to where they have no probability."""


def diagonal_fisher(
    ensemble: StackedEnsemble, member: int, sequences: Sequence[Tokens], *, budget: int, logits_of: LogitsOf
) -> dict[str, Tensor]:
    """Return the diagonal of a member's Fisher information, by PEFT's names of what it trains.

    Of many sequences some are taken, evenly spread, the same ones of every member.

    Raises:
        TooLittleMemoryError: not even a pass of one sequence fits the memory.
    """
    classes = ensemble.head.width
    rows = evenly_spread(len(sequences), at_most=max(FEWEST, BACKWARDS // classes))
    own = [sequences[row] for row in rows]
    fisher = {name: torch.zeros_like(stack[member]) for name, stack in ensemble.named_stacks()}
    for label in range(classes):

        def value_of(logits_BC: Tensor, places: Rows, label: int = label) -> Tensor:
            log_probs_B = logits_of(logits_BC, rows[places]).log_softmax(dim=1)[:, label]
            weights_B = log_probs_B.detach().exp().sqrt()
            # A class without probability has a logarithm that no gradient should come of.
            return torch.where(weights_B > 0, weights_B * log_probs_B, 0.0)

        for found in example_gradients(ensemble, member, own, value_of, budget=budget):
            for name, gradients in found.by_name.items():
                fisher[name] += gradients.square().sum(0)
    return {name: total / len(own) for name, total in fisher.items()}


def evenly_spread(count: int, *, at_most: int) -> Rows:
    """Return at most so many of the indices 0 to `count` - 1, evenly spread."""
    return torch.linspace(0, count - 1, min(count, at_most)).round().long().numpy()
