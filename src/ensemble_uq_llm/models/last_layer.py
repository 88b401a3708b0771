"""The last decoder layer, computed only where its result is read: at the last token of each sequence.

Exact: keys and values still come from all tokens; queries, the output projection and the MLP are needed only
for the token whose hidden state the head reads. It saves nearly one layer, forward and backward.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ensemble_uq_llm.models.pack import Pack
from ensemble_uq_llm.models.packed_attention import last_token_attention

SUPPORTED_LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer")
"""Decoder layers of exactly this form: norm, attention, add, norm, MLP, add. Others run whole."""

LAST_TOKEN_MODULES = ("q_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers that see only the last tokens."""


class LastTokenLayer(nn.Module):
    """A decoder layer of transformers that takes [1, T, H] and returns [1, B, H], one row a sequence."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    @staticmethod
    def supports(layer: nn.Module) -> bool:
        """Tell whether `layer` has the form that this class computes."""
        return type(layer).__name__ in SUPPORTED_LAYERS

    def forward(
        self, hidden_1TH: Tensor, *, position_embeddings: tuple[Tensor, Tensor], pack: Pack, **_: Any
    ) -> Tensor:
        """Compute the layer for the last token of every sequence; transformers passes the rest."""
        layer: Any = self.layer
        hidden_1BH = hidden_1TH.index_select(1, pack.last_B)
        normed_1TH = layer.input_layernorm(hidden_1TH)
        hidden_1BH = hidden_1BH + self._attend(normed_1TH, position_embeddings, pack)
        return hidden_1BH + layer.mlp(layer.post_attention_layernorm(hidden_1BH))

    def _attend(self, normed_1TH: Tensor, position_embeddings: tuple[Tensor, Tensor], pack: Pack) -> Tensor:
        attention: Any = self.layer.self_attn
        cos_1TD, sin_1TD = position_embeddings
        last_B = pack.last_B
        query = _heads(attention.q_proj(normed_1TH.index_select(1, last_B)), attention.head_dim)
        key = _heads(attention.k_proj(normed_1TH), attention.head_dim)
        value = _heads(attention.v_proj(normed_1TH), attention.head_dim)
        if hasattr(attention, "q_norm"):  # Qwen3 norms each head
            query, key = attention.q_norm(query), attention.k_norm(key)
        output_1BHD = last_token_attention(
            _rotate(query, cos_1TD.index_select(1, last_B), sin_1TD.index_select(1, last_B)).transpose(1, 2),
            _rotate(key, cos_1TD, sin_1TD).transpose(1, 2),
            value.transpose(1, 2),
            pack=pack,
            scaling=attention.scaling,
            window=_window_of(attention),
        )
        return attention.o_proj(output_1BHD.flatten(2))


def _window_of(attention: Any) -> int | None:
    """Qwen's layers know their own sliding window, Mistral's look it up in the configuration."""
    return getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))


def _heads(projected_1TO: Tensor, head_dim: int) -> Tensor:
    return projected_1TO.unflatten(-1, (-1, head_dim))


def _rotate(x_1THD: Tensor, cos_1TD: Tensor, sin_1TD: Tensor) -> Tensor:
    """Rotary position embedding (arXiv 2104.09864), in the half-split layout of transformers."""
    first, second = x_1THD.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return x_1THD * cos_1TD.unsqueeze(2) + turned * sin_1TD.unsqueeze(2)
