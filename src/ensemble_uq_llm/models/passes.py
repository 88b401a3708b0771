"""How the sequences of all members are cut into passes that fit a token budget.

A member's arithmetic must not depend on its company, so how a member's own sequences are cut depends on
nothing but their lengths and the budget; only whole cuts of different members then share a pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, within_memory
from ensemble_uq_llm.models.pack import Tokens, make_pack
from ensemble_uq_llm.utils.device import free_bytes
from ensemble_uq_llm.utils.lanes import lane_count, side_by_side

Rows = NDArray[np.int64]
"""Indices of examples."""

MOST_TOKENS = {"cpu": 8_192, "cuda": 32_768}
"""Tokens of a pass that keep the machine busy; more gains nothing."""

CACHED_ELEMENTS = 1 << 21
"""A layer's hidden states should not be larger on a CPU: they would leave its caches between two operations."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one member that go through the model in one pass."""

    member: int
    rows: Rows


def plan_lanes(
    rows_by_member: Sequence[Rows], lengths_N: NDArray[np.int64], *, budget: int, lanes: int
) -> list[list[list[Chunk]]]:
    """Spread the members over lanes so that these have about equally many tokens; return each lane's passes.

    The longest member goes first to the lane with the fewest tokens (Graham, 1969). A member keeps to one lane, so
    that its gradients are summed in one order whatever the lanes' pace.
    """
    lanes = min(lanes, len(rows_by_member))
    sizes = [int(lengths_N[rows].sum()) for rows in rows_by_member]
    loads = [0] * lanes
    members_by_lane: list[list[int]] = [[] for _ in range(lanes)]
    for member in sorted(range(len(sizes)), key=lambda member: -sizes[member]):
        lane = loads.index(min(loads))
        loads[lane] += max(1, sizes[member])
        members_by_lane[lane].append(member)
    return [_passes_of(sorted(members), rows_by_member, lengths_N, budget) for members in members_by_lane]


def _passes_of(
    members: Sequence[int], rows_by_member: Sequence[Rows], lengths_N: NDArray[np.int64], budget: int
) -> list[list[Chunk]]:
    passes = plan_passes([rows_by_member[member] for member in members], lengths_N, budget=budget)
    return [[Chunk(members[chunk.member], chunk.rows) for chunk in chunks] for chunks in passes]


def plan_passes(rows_by_member: Sequence[Rows], lengths_N: NDArray[np.int64], *, budget: int) -> list[list[Chunk]]:
    """Group the members' rows into passes of at most `budget` tokens; a longer sequence is a pass by itself.

    Every member stays whole where it fits the budget. No pass holds a member twice.
    """
    cuts = [cut_to_budget(rows, lengths_N, budget=budget) for rows in rows_by_member]
    passes: list[list[Chunk]] = []
    for turn in range(max(map(len, cuts), default=0)):
        room = 0
        for member, own in enumerate(cuts):
            if turn >= len(own):
                continue
            size = int(lengths_N[own[turn]].sum())
            if size > room:
                passes.append([])
                room = budget
            passes[-1].append(Chunk(member, own[turn]))
            room -= size
    return passes


def cut_to_budget(rows: Rows, lengths_N: NDArray[np.int64], *, budget: int) -> list[Rows]:
    """Cut rows, in their order, into runs of at most `budget` tokens."""
    cuts: list[list[int]] = []
    room = 0
    for row in rows.tolist():
        length = int(lengths_N[row])
        if length > room:
            cuts.append([])
            room = budget
        cuts[-1].append(row)
        room -= length
    return [np.array(cut, dtype=np.int64) for cut in cuts]


def predict_logits(ensemble: StackedEnsemble, sequences: Sequence[Tokens], *, budget: int) -> NDArray[np.float32]:
    """Return what every member says about every sequence: float32 logits_MNC.

    Rows are sorted by length and packed; each pass holds all members of its rows where the budget allows. Where the
    memory runs out, which the longest rows show first, all is done again in smaller passes.

    Raises:
        ConfigError: not even a pass of one sequence fits the memory.
    """
    longest = max(map(len, sequences), default=0)
    return within_memory(
        lambda tokens: _predict(ensemble, sequences, budget=tokens), PassBudget(budget), longest=longest
    )


def _predict(ensemble: StackedEnsemble, sequences: Sequence[Tokens], *, budget: int) -> NDArray[np.float32]:
    members, classes = len(ensemble.members), ensemble.spec.classes
    device = next(ensemble.parameters()).device
    logits_MNC = torch.empty(members, len(sequences), classes, device=device)

    @torch.inference_mode()
    def one_pass(members_and_rows: tuple[range, Rows]) -> None:
        group, rows = members_and_rows
        own = [sequences[row] for row in rows]
        pack = make_pack([(member, own) for member in group], device=device)
        index = torch.from_numpy(rows).to(device)
        trunk_TH = None
        if ensemble.trunk_depth > 0:
            trunk_TH = ensemble.trunk(make_pack([(group.start, own)], device=device)).repeat(len(group), 1)
        logits_BC = ensemble(pack, trunk_TH=trunk_TH)
        logits_MNC[group.start : group.stop, index] = logits_BC.unflatten(0, (len(group), len(rows)))

    side_by_side(one_pass, list(_prediction_passes(members, sequences, budget)), device=device)
    return logits_MNC.cpu().numpy()


def _prediction_passes(members: int, sequences: Sequence[Tokens], budget: int) -> Iterator[tuple[range, Rows]]:
    lengths_N = np.array([len(tokens) for tokens in sequences], dtype=np.int64)
    if lengths_N.size == 0:
        return
    group_size = min(members, max(1, budget // int(lengths_N.max())))
    longest_first = np.argsort(-lengths_N, kind="stable")
    for rows in cut_to_budget(longest_first, lengths_N, budget=budget // group_size):
        for start in range(0, members, group_size):
            yield range(start, min(start + group_size, members)), rows


def token_budget(decoder: PreTrainedModel, *, wanted: int | None, training: bool, device: torch.device) -> int:
    """Return the tokens of a pass: what is wanted, or else what half of the free memory holds and is of use.

    On a CPU as many passes as it has lanes share the memory, and wide models have short passes.
    """
    if wanted is not None:
        return wanted
    fits = free_bytes(device) // 2 // bytes_per_token(decoder, training=training) // lane_count(device)
    if device.type == "cpu":
        fits = min(fits, CACHED_ELEMENTS // decoder.config.get_text_config().hidden_size)
    # A power of two, so that small changes of the free memory do not change a run's rounding.
    return min(MOST_TOKENS.get(device.type, MOST_TOKENS["cpu"]), 1 << max(8, int(fits).bit_length() - 1))


def bytes_per_token(decoder: PreTrainedModel, *, training: bool) -> int:
    """Estimate the activation memory that a pass takes per token, in bytes.

    Counted over the tensors that transformers' eager layers keep for the backward: about 18 of the hidden size
    and 5 of the MLP's in each layer, in the base's dtype; without gradients one layer's worth is alive at a time.
    """
    config = decoder.config.get_text_config()
    width: Tensor = next(decoder.parameters())
    per_layer = (18 * config.hidden_size + 5 * config.intermediate_size) * width.element_size()
    return per_layer * (config.num_hidden_layers if training else 2)
