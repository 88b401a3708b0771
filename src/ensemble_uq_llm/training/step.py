"""One optimiser step of all members: their batches in passes, clipping per member, one update."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, within_memory
from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.models.passes import Chunk, plan_lanes
from ensemble_uq_llm.models.trunk import TrunkCache
from ensemble_uq_llm.training.loss import member_losses
from ensemble_uq_llm.training.optimizer import clip_per_member
from ensemble_uq_llm.utils.lanes import lane_count, side_by_side
from ensemble_uq_llm.utils.seeding import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What a step works on and with; it holds no state of its own. `trunk` saves the layers below the adapters."""

    ensemble: StackedEnsemble
    optimizer: AdamW
    schedule: LambdaLR
    data: TokenizedExamples
    max_grad_norm: float
    budget: PassBudget
    trunk: TrunkCache | None = None


def train_step(trainer: Trainer, rows_by_member: Sequence[NDArray[np.int64]], *, step: int) -> Tensor:
    """Take one step of every member on its own rows; returns the losses [M] (each member's batch mean).

    A member that diverges stays in its passes, so that the others' arithmetic does not change: stacked adapters
    keep its NaN to itself. Where the memory runs out the step is taken again in smaller passes.

    Raises:
        ConfigError: not even a pass of one sequence fits the memory.
    """
    longest = max(int(trainer.data.lengths_N[rows].max()) for rows in rows_by_member)
    losses_M = within_memory(
        lambda tokens: _accumulate(trainer, rows_by_member, step=step, budget=tokens), trainer.budget, longest=longest
    )
    clip_per_member(trainer.ensemble.trainable(), trainer.max_grad_norm)
    trainer.optimizer.step()
    trainer.schedule.step()
    trainer.optimizer.zero_grad(set_to_none=True)
    return losses_M


def _accumulate(trainer: Trainer, rows_by_member: Sequence[NDArray[np.int64]], *, step: int, budget: int) -> Tensor:
    """Leave the gradients of every member's batch mean in the stacks; returns the losses [M]."""
    ensemble = trainer.ensemble
    trainer.optimizer.zero_grad(set_to_none=True)  # an attempt that ran out of memory left some
    device = ensemble.trainable()[0].device
    generators = _dropout_generators(ensemble, step, device)
    batch_sizes = [len(rows) for rows in rows_by_member]
    data = trainer.data

    def lane(passes: list[list[Chunk]]) -> Tensor:
        losses_M = torch.zeros(len(batch_sizes), device=device)
        for chunks in passes:
            pack = make_pack([(c.member, [data.sequences[row] for row in c.rows]) for c in chunks], device=device)
            labels_B = torch.from_numpy(np.concatenate([data.labels_N[c.rows] for c in chunks])).to(device)
            trunk_TH = None if trainer.trunk is None else trainer.trunk.of([row for c in chunks for row in c.rows])
            logits_BC = ensemble(pack, dropout_generators=generators, trunk_TH=trunk_TH)
            pass_losses_M = member_losses(logits_BC, labels_B, spans=pack.sequence_spans, batch_sizes_M=batch_sizes)
            pass_losses_M.sum().backward()
            losses_M += pass_losses_M.detach()
        return losses_M

    lanes = plan_lanes(rows_by_member, data.lengths_N, budget=budget, lanes=lane_count(device))
    return torch.stack(side_by_side(lane, lanes, device=device)).sum(0)


def _dropout_generators(ensemble: StackedEnsemble, step: int, device: torch.device) -> list[Generator] | None:
    """Each member's own stream for this step: what it drops never depends on its company or on a restart."""
    if ensemble.spec.dropout == 0:
        return None
    return [Generator(device).manual_seed(derive_seed(member.seed, "dropout", step)) for member in ensemble.members]
