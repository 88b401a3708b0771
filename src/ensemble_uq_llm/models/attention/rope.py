"""Rotary positions that depend on a sequence's own length, never on that of its neighbours.

Two of transformers' kinds of RoPE choose their frequencies by the longest sequence that they are shown: `dynamic`
stretches them beyond the trained length, `longrope` changes from short to long factors there. transformers takes the
longest of the batch, and `dynamic` even remembers the longest so far. Here each sequence gets what it gets alone.
"""

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.utils.text import listed

OF_LENGTH: Final = ("dynamic", "longrope")
"""The kinds whose frequencies depend on the length; all the others' are fixed when the model is made."""


def check_rope(settings: PreTrainedConfig) -> None:
    """Refuse kinds of RoPE that transformers does not have, and those of length that differ from layer to layer.

    Raises:
        ModelError: such a kind; the message names it.
    """
    for name, kind in _kinds(settings).items():
        if kind != "default" and kind not in ROPE_INIT_FUNCTIONS:
            raise ModelError(
                f"model_name: rope_type {kind!r} in config.json is none that transformers has "
                f"({listed(['default', *ROPE_INIT_FUNCTIONS])})"
            )
        if name and kind in OF_LENGTH:
            raise ModelError(
                f"model_name: rope_type {kind!r} for {name} layers only: it depends on the length of the batch, and "
                "is supported where all layers share it"
            )


def own_lengths_only(decoder: PreTrainedModel) -> None:
    """Make a decoder's rotary embedding depend on each sequence's own length, where it depends on lengths at all."""
    kind = _kinds(decoder.config).get("")
    source: Any = decoder
    if kind in OF_LENGTH and not isinstance(source.rotary_emb, PerSequenceRotary):
        source.rotary_emb = PerSequenceRotary(source.rotary_emb, kind)


class PerSequenceRotary(nn.Module):
    """The rotary embedding of transformers, asked anew for each length at which its frequencies change.

    Sequences up to the trained length share one set; beyond it `longrope` has one more, `dynamic` one a length. Each
    set has a copy of the embedding of its own, which never sees another length: passes run side by side.
    """

    def __init__(self, rotary: nn.Module, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.short = copy.deepcopy(rotary)
        source: Any = rotary
        self.longest_short: int = (
            source.config.rope_parameters["original_max_position_embeddings"]
            if kind == "longrope"
            else source.original_max_seq_len
        )
        self._longer: dict[int, nn.Module] = {}

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines [1, T, D] for positions [1, T] that restart with every sequence."""
        sets_T = self._sets(position_ids[0])
        cos_1TD, sin_1TD = self.short(x, position_ids.clamp(max=self.longest_short - 1))
        for chosen in sets_T.unique().tolist():
            if chosen == 0:
                continue
            index = (sets_T == chosen).nonzero().squeeze(1)
            if chosen not in self._longer:  # two threads may both find it absent: the first copy stays
                self._longer.setdefault(chosen, copy.deepcopy(self.short))
            rotary = self._longer[chosen]
            for whole, part in zip((cos_1TD, sin_1TD), rotary(x, position_ids[:, index]), strict=True):
                whole[:, index] = part
        return cos_1TD, sin_1TD

    def _sets(self, positions_T: Tensor) -> Tensor:
        """Return for each token which set of frequencies its sequence has: 0 is the short one."""
        starts_B = (positions_T == 0).nonzero().squeeze(1)
        lengths_B = starts_B.diff(append=starts_B.new_tensor([len(positions_T)]))
        sets_B = lengths_B if self.kind == "dynamic" else torch.ones_like(lengths_B)
        return sets_B.where(lengths_B > self.longest_short, 0).repeat_interleave(lengths_B)


def _kinds(settings: PreTrainedConfig) -> dict[str, str]:
    """Return the kind of RoPE of each type of layers, or under the name "" that of all; empty where there is none."""
    parameters = getattr(settings, "rope_parameters", None) or {}
    if "rope_type" in parameters:
        return {"": parameters["rope_type"]}
    return {name: each["rope_type"] for name, each in parameters.items() if isinstance(each, dict)}
