"""The joint loss: the sum over members of each member's own batch mean."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ensemble_uq_llm.models.pack import Span


def member_losses(
    logits_BC: Tensor, labels_B: Tensor, *, spans: Sequence[Span], batch_sizes_M: Sequence[int]
) -> Tensor:
    """Return each member's share of its batch-mean cross-entropy from the sequences of one pass: float32 [M].

    A member's passes of one step add up to the mean over its batch; a member without sequences here has 0.
    Members must be summed, not averaged: a mean over members would scale every gradient by 1/M.
    """
    losses_B = F.cross_entropy(logits_BC, labels_B, reduction="none")
    own = [losses_B.new_zeros(())] * len(batch_sizes_M)
    for span in spans:
        own[span.member] = losses_B[span.start : span.stop].sum() / batch_sizes_M[span.member]
    return torch.stack(own)
