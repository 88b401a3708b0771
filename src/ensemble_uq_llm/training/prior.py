"""A Gaussian prior in the loss: training then looks for the maximum a posteriori, with `prior_precision`.

The loss of a member is the mean over its batch plus d / (2 N) |w|^2: the negative log posterior divided by the N
training rows, d being the prior's precision and w all that the member trains, adapters and head. AdamW's decoupled
decay is no such prior: how strong it is depends on the learning rate, and the gradient's size does not scale it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The precision d of the prior, 0 being none, and the N rows that a member is trained on."""

    precision: float
    rows: int


@torch.no_grad()
def add_prior(parameters: Sequence[nn.Parameter], prior: Prior, *, members: Sequence[int]) -> None:
    """Add the prior's gradient, d / N w, to that of these members of the stacks; the others' gradients stay."""
    for parameter in parameters:
        if parameter.grad is None:
            continue
        for member in members:
            parameter.grad[member].add_(parameter[member], alpha=prior.precision / prior.rows)
