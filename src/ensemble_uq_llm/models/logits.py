"""What every member says about every sequence: all examples through the stack in passes, without gradients."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, within_memory
from ensemble_uq_llm.models.pack import Tokens, make_pack
from ensemble_uq_llm.models.passes import Rows, prediction_passes
from ensemble_uq_llm.utils.lanes import side_by_side

Tell: TypeAlias = Callable[[int, int], None]
"""Hears after every pass how many answers (of a member to a sequence) are there, and of how many."""


def member_logits(
    ensemble: StackedEnsemble,
    sequences: Sequence[Tokens],
    *,
    budget: int,
    members: Sequence[int] | None = None,
    tell: Tell | None = None,
) -> NDArray[np.float32]:
    """Return what the members of these indices (default: all) say about every sequence: float32 logits_MNC.

    A head that tells of everything else, too, gives one logit more than there are classes.

    Rows are sorted by length and packed; each pass holds all members of its rows where the budget allows. Where the
    memory runs out, which the longest rows show first, all is done again in smaller passes.

    Raises:
        TooLittleMemoryError: not even a pass of one sequence fits the memory.
    """
    longest = max(map(len, sequences), default=0)
    asked = range(len(ensemble.members)) if members is None else members
    return within_memory(
        lambda tokens: _in_passes(ensemble, asked, sequences, budget=tokens, tell=tell),
        PassBudget(budget),
        longest=longest,
    )


def _in_passes(
    ensemble: StackedEnsemble, asked: Sequence[int], sequences: Sequence[Tokens], *, budget: int, tell: Tell | None
) -> NDArray[np.float32]:
    members, width = len(asked), ensemble.head.width
    device = next(ensemble.parameters()).device
    logits_MNC = torch.empty(members, len(sequences), width, device=device)
    counting, done = Lock(), 0

    @torch.inference_mode()
    def one_pass(members_and_rows: tuple[range, Rows]) -> None:
        nonlocal done
        group, rows = members_and_rows
        own = [sequences[row] for row in rows]
        pack = make_pack([(asked[place], own) for place in group], device=device)
        index = torch.from_numpy(rows).to(device)
        trunk_TH = None
        if ensemble.trunk_depth > 0:
            trunk_TH = ensemble.trunk(make_pack([(group.start, own)], device=device)).repeat(len(group), 1)
        logits_BC = ensemble(pack, trunk_TH=trunk_TH)
        logits_MNC[group.start : group.stop, index] = logits_BC.unflatten(0, (len(group), len(rows)))
        with counting:
            done += len(group) * len(rows)
            if tell is not None:
                tell(done, members * len(sequences))

    lengths_N = np.array([len(tokens) for tokens in sequences], dtype=np.int64)
    side_by_side(one_pass, list(prediction_passes(members, lengths_N, budget=budget)), device=device)
    return logits_MNC.cpu().numpy()
