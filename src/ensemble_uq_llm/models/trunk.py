"""The trunk, the layers below the first adapter: what it says of a prompt is the same for all members and epochs."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ensemble_uq_llm.errors import TooLittleMemoryError
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, naming_memory, within_memory
from ensemble_uq_llm.models.pack import Tokens, make_pack
from ensemble_uq_llm.models.passes import Rows, cut_to_budget
from ensemble_uq_llm.utils.device import free_bytes
from ensemble_uq_llm.utils.lanes import side_by_side

SHARE_OF_MEMORY = 4
"""The states of all examples are kept where they fit this fraction of the free memory, as a divisor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkCache:
    """The trunk's hidden states `states_TH` of all N examples end to end, cut at the N + 1 `bounds`."""

    states_TH: Tensor
    bounds: list[int]

    def of(self, rows: Sequence[int]) -> Tensor:
        """Return the states [T, H] of these examples end to end, in the order of `rows`."""
        return torch.cat([self.states_TH[self.bounds[row] : self.bounds[row + 1]] for row in rows])


def cache_trunk(ensemble: StackedEnsemble, sequences: Sequence[Tokens], *, budget: PassBudget) -> TrunkCache | None:
    """Run the trunk once over all examples, in passes of the budget, which shrinks where they do not fit.

    Returns None where there is no trunk, or where its states would take too much of the memory, as is estimated or as
    is found out: training does without, at the cost of time.
    """
    if ensemble.trunk_depth == 0 or not sequences:
        return None
    lengths_N = np.array([len(tokens) for tokens in sequences], dtype=np.int64)
    base = next(ensemble.decoder.parameters())
    hidden = ensemble.decoder.config.get_text_config().hidden_size
    if lengths_N.sum() * hidden * base.element_size() > free_bytes(base.device) // SHARE_OF_MEMORY:
        return None
    try:
        with naming_memory("the states of the layers below the adapters"):
            return _run_over(ensemble, sequences, lengths_N, budget)
    except TooLittleMemoryError:
        warnings.warn("out of memory: layers below the adapters run anew in every pass, which is slower", stacklevel=2)
        return None


def _run_over(
    ensemble: StackedEnsemble, sequences: Sequence[Tokens], lengths_N: NDArray[np.int64], budget: PassBudget
) -> TrunkCache:
    base = next(ensemble.decoder.parameters())
    hidden = ensemble.decoder.config.get_text_config().hidden_size
    bounds = [0, *lengths_N.cumsum().tolist()]
    states_TH = torch.empty(bounds[-1], hidden, dtype=base.dtype, device=base.device)

    @torch.no_grad()
    def one_pass(rows: Rows) -> None:
        pack = make_pack([(0, [sequences[row] for row in rows])], device=base.device)
        states_TH[bounds[rows[0]] : bounds[rows[-1] + 1]] = ensemble.trunk(pack)

    def all_passes(tokens: int) -> None:
        side_by_side(one_pass, cut_to_budget(np.arange(len(sequences)), lengths_N, budget=tokens), device=base.device)

    within_memory(all_passes, budget, longest=int(lengths_N.max()))
    return TrunkCache(states_TH=states_TH, bounds=bounds)
