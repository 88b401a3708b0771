"""One AdamW over the stacked tensors, which equals one AdamW per member; clipping, which must not be stacked."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_linear_schedule_with_warmup

from ensemble_uq_llm.config import Config


def make_optimizer(parameters: Sequence[nn.Parameter], config: Config, *, steps: int) -> tuple[AdamW, LambdaLR]:
    """Return AdamW (arXiv 1711.05101) and its schedule: linear warm-up, then linear decay to zero at `steps`.

    AdamW works on every entry by itself, so on tensors stacked over members it does what K optimisers would do.
    """
    # foreach, not fused: the fused CPU kernel rounds the ends of a tensor otherwise, so a member would feel its place
    optimizer = AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, foreach=True)
    return optimizer, get_linear_schedule_with_warmup(optimizer, config.warmup_steps, steps)


@torch.no_grad()
def clip_per_member(parameters: Sequence[nn.Parameter], max_norm: float) -> Tensor:
    """Scale each member's gradient to a norm of at most `max_norm` (0: leave it) and return the norms [M] before.

    The same arithmetic as `torch.nn.utils.clip_grad_norm_` on one member's tensors; that function on stacked
    tensors would couple the members.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # Member by member: a reduction over a stack rounds differently for different numbers of members.
    members = len(gradients[0])
    norms_M = torch.stack([get_total_norm([gradient[member] for gradient in gradients]) for member in range(members)])
    if max_norm > 0:
        scale_M = (max_norm / (norms_M + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale_M.view(-1, *[1] * (gradient.ndim - 1)))
    return norms_M
