"""One optimiser step of all members: their batches in passes, clipping per member, one update."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn.utils import get_total_norm

from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.labels.lacking_options import LACKING
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, naming_memory, within_memory
from ensemble_uq_llm.models.pack import Span, make_pack
from ensemble_uq_llm.models.passes import Chunk, Rows, plan_lanes
from ensemble_uq_llm.models.trunk import TrunkCache
from ensemble_uq_llm.training.divergence import DivergenceRule
from ensemble_uq_llm.training.prior import Prior, add_prior
from ensemble_uq_llm.training.state import TrainingState
from ensemble_uq_llm.utils.lanes import lane_count, side_by_side
from ensemble_uq_llm.utils.seeding import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What a step works on and with; only `state` changes.

    `prior` is in the loss, where there is one; `trunk` saves the layers below the adapters; `divergence`
    says which members end, besides those of NaN losses.
    """

    state: TrainingState
    data: TokenizedExamples
    max_grad_norm: float
    class_weights: Sequence[float] | None = None
    prior: Prior | None = None
    trunk: TrunkCache | None = None
    divergence: DivergenceRule | None = None


def epoch_batches(
    seed: int, *, epoch: int, examples: int, batch_size: int, batches: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield one member's batches of an epoch (from 0): a fresh permutation, the last partial batch included.

    With `batches` the last of so many takes what is left, so that a member with a row more steps as often as others.
    """
    order = np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(examples)
    batches = batches or -(-examples // batch_size)
    for batch in range(batches):
        stop = examples if batch == batches - 1 else (batch + 1) * batch_size
        yield order[batch * batch_size : stop]


def train_step(trainer: Trainer, rows_by_member: Sequence[Rows]) -> Tensor:
    """Take the next step of every member on its own rows; returns the losses [M] (each member's batch mean).

    A member that diverges in it keeps its NaN to itself, as stacked adapters do, and its later batches are empty. Where
    the memory runs out the step is taken again in smaller passes; not so in the update itself, of which a part may be
    done: the state is of no use then.

    Raises:
        TooLittleMemoryError: not even a pass of one sequence fits the memory, or the update does not.
    """
    state = trainer.state
    longest = max(int(trainer.data.lengths_N[rows].max(initial=0)) for rows in rows_by_member)
    losses_M, norms = within_memory(
        lambda tokens: _gradients(trainer, rows_by_member, budget=tokens), state.budget, longest=longest
    )
    with naming_memory("the optimiser's step", FEWER_MEMBERS, "lower lora_r or tokens_per_pass"):
        state.optimizer.step()
    state.schedule.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.note_step(losses_M.tolist())
    if trainer.divergence is not None:
        trainer.divergence.judge(state.outcomes, norms)
    return losses_M


def within_options(logits_BC: Tensor, options_B: Tensor) -> Tensor:
    """Return logits in which the classes from the number of a sequence's options on have no probability."""
    beyond_BC = torch.arange(logits_BC.shape[1], device=logits_BC.device) >= options_B[:, None]
    return logits_BC.masked_fill(beyond_BC, LACKING)


def member_losses(
    logits_BC: Tensor,
    labels_B: Tensor,
    *,
    spans: Sequence[Span],
    batch_sizes_M: Sequence[float],
    weights_C: Tensor | None = None,
    options_B: Tensor | None = None,
) -> Tensor:
    """Return each member's share of its batch-mean cross-entropy from the sequences of one pass: float32 [M].

    A member's passes of one step add up to the mean over its batch; a member without sequences here has 0. With class
    weights the mean is that of torch's `CrossEntropyLoss(weight=...)`, weighted by the labels' classes, and
    `batch_sizes_M` are the sums of these weights over the batches. Of multiple choice `options_B` is how many of the
    classes a sequence has: the others get no probability, and no gradient.
    Members must be summed, not averaged: a mean over members would scale every gradient by 1/M.
    """
    if options_B is not None:
        logits_BC = within_options(logits_BC, options_B)
    losses_B = F.cross_entropy(logits_BC, labels_B, weight=weights_C, reduction="none")
    own = [losses_B.new_zeros(())] * len(batch_sizes_M)
    for span in spans:
        own[span.member] = losses_B[span.start : span.stop].sum() / batch_sizes_M[span.member]
    return torch.stack(own)


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


def _gradients(trainer: Trainer, rows_by_member: Sequence[Rows], *, budget: int) -> tuple[Tensor, list[float]]:
    """Leave every member's clipped gradient in the stacks; returns the losses [M], without the prior, and the norms."""
    losses_M = _accumulate(trainer, rows_by_member, budget=budget)
    if trainer.prior is not None and trainer.prior.precision > 0:
        trained = [member for member, rows in enumerate(rows_by_member) if len(rows) > 0]
        add_prior(trainer.state.ensemble.trainable(), trainer.prior, members=trained)
    norms_M = clip_per_member(trainer.state.ensemble.trainable(), trainer.max_grad_norm)
    # A device tells of errors late: after this transfer there are none, and the update may begin.
    return losses_M, norms_M.tolist()


def _accumulate(trainer: Trainer, rows_by_member: Sequence[Rows], *, budget: int) -> Tensor:
    """Leave the gradients of every member's batch mean in the stacks; returns the losses [M]."""
    state, data = trainer.state, trainer.data
    ensemble = state.ensemble
    state.optimizer.zero_grad(set_to_none=True)  # an attempt that ran out of memory left some
    device = ensemble.trainable()[0].device
    generators = _dropout_generators(ensemble, state.steps + 1, device)
    batch_sizes: list[float] = [len(rows) for rows in rows_by_member]
    weights_C = None
    if trainer.class_weights is not None:
        batch_sizes = [float(np.take(trainer.class_weights, data.labels_N[rows]).sum()) for rows in rows_by_member]
        weights_C = torch.tensor(trainer.class_weights, device=device)

    def lane(passes: list[list[Chunk]]) -> Tensor:
        losses_M = torch.zeros(len(batch_sizes), device=device)
        for chunks in passes:
            pack = make_pack([(c.member, [data.sequences[row] for row in c.rows]) for c in chunks], device=device)
            rows_B = np.concatenate([c.rows for c in chunks])
            labels_B = torch.from_numpy(data.labels_N[rows_B]).to(device)
            options_B = None if data.options_N is None else torch.from_numpy(data.options_N[rows_B]).to(device)
            trunk_TH = None if trainer.trunk is None else trainer.trunk.of([row for c in chunks for row in c.rows])
            logits_BC = ensemble(pack, dropout_generators=generators, trunk_TH=trunk_TH)
            pass_losses_M = member_losses(
                *(logits_BC, labels_B),
                spans=pack.sequence_spans,
                batch_sizes_M=batch_sizes,
                weights_C=weights_C,
                options_B=options_B,
            )
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
