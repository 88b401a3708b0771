"""A decoder layer of the LLaMA form, written for packed rows: fewer and larger products, little memory moved.

Equal to transformers' layer up to rounding. What reads the same input shares what the backward needs (q, k, v; gate,
up), residuals are added by the products themselves, and norms, rotary embedding and SwiGLU are those of `lean_ops.py`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ensemble_uq_llm.models.attention.packed import last_token_attention, packed_attention
from ensemble_uq_llm.models.layers.ops import rms_norm, rotary_table, rotate, swiglu
from ensemble_uq_llm.models.lora.stacked import ActivePass, LoraSpec, LoraStack, StackedProjection, linear_of
from ensemble_uq_llm.models.pack import Pack

LEAN_LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer")
"""Decoder layers of exactly this form: norm, attention, add, norm, MLP, add. Others stay transformers' own."""


def is_lean(layer: nn.Module) -> bool:
    """Tell whether `LeanLayer` computes what `layer` of transformers does."""
    mlp: Any = getattr(layer, "mlp", None)
    return type(layer).__name__ in LEAN_LAYERS and type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")


class LeanLayer(nn.Module):
    """Takes the place of a layer of transformers: [1, T, H] -> [1, T, H].

    `stacks` holds the members' adapters by the name of the linear layer within the layer, such as `self_attn.q_proj`.
    """

    last_tokens = False

    def __init__(
        self, layer: nn.Module, stacks: Mapping[str, LoraStack], *, spec: LoraSpec, active: ActivePass
    ) -> None:
        super().__init__()
        source: Any = layer
        attention = source.self_attn
        self.active = active
        self.head_dim, self.scaling, self.window = attention.head_dim, attention.scaling, _window_of(attention)
        self.norms = nn.ModuleList([source.input_layernorm, source.post_attention_layernorm])
        self.query_key_norms = nn.ModuleList([attention.q_norm, attention.k_norm] if _norms_heads(attention) else [])

        def projection(*names: str, last_tokens: bool = self.last_tokens) -> StackedProjection:
            linears = [linear_of(layer, name) for name in names]
            own = [stacks.get(name) for name in names]
            return StackedProjection(linears, own, spec=spec, active=active, last_tokens=last_tokens)

        self._project_inputs(projection)
        self.out = projection("self_attn.o_proj")
        self.gate_up = projection("mlp.gate_proj", "mlp.up_proj")
        self.down = projection("mlp.down_proj")

    def forward(self, hidden_1TH: Tensor, *, position_embeddings: tuple[Tensor, Tensor]) -> Tensor:
        """Compute the layer; `position_embeddings` are the cosines and sines of transformers, [1, T, D] each."""
        pack = self.active.pack
        assert pack is not None, "a lean layer runs only inside StackedEnsemble.forward"
        hidden = hidden_1TH.squeeze(0)
        cos_1TD, sin_1TD = position_embeddings
        attended, residual = self._attend(hidden, self._rotary(cos_1TD, sin_1TD), pack)
        (hidden,) = self.out(attended.flatten(1), residual)
        gate, up = self.gate_up(_norm(self.norms[1], hidden))
        (output,) = self.down(swiglu(gate, up), hidden)
        return output.unsqueeze(0)

    def _project_inputs(self, projection: Any) -> None:
        self.qkv = projection("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")

    def _attend(self, hidden_TH: Tensor, rotary: tuple[Tensor, Tensor], pack: Pack) -> tuple[Tensor, Tensor]:
        """Return what the queries read [T, heads, D], and the hidden states of the same rows."""
        query, key, value = self._heads(self.qkv, _norm(self.norms[0], hidden_TH))
        query, key = self._normed_heads(query, key)
        attended_1THD, _ = packed_attention(
            self,
            _heads_first(rotate(query, *rotary)),
            _heads_first(rotate(key, *rotary)),
            _heads_first(value),
            None,
            pack=pack,
            scaling=self.scaling,
            sliding_window=self.window,
        )
        return attended_1THD.squeeze(0), hidden_TH

    def _heads(self, projection: StackedProjection, normed_TH: Tensor) -> list[Tensor]:
        return [part.unflatten(-1, (-1, self.head_dim)) for part in projection(normed_TH)]

    def _normed_heads(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if not self.query_key_norms:
            return query, key
        query_norm, key_norm = self.query_key_norms
        return _norm(query_norm, query), _norm(key_norm, key)

    def _rotary(self, cos_1TD: Tensor, sin_1TD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tables of the pass, made by the first layer that asks."""
        if self.active.rotary is None:
            heads = self.out.linears[0].in_features // self.head_dim
            self.active.rotary = rotary_table(cos_1TD.squeeze(0), sin_1TD.squeeze(0), heads)
        return self.active.rotary


class LeanLastLayer(LeanLayer):
    """The last layer, computed only where its result is read, at the last token of each sequence: -> [1, B, H].

    Exact: keys and values still come from all tokens; queries, the output projection and the MLP are needed only
    for the token whose hidden state the head reads. It saves nearly one layer, forward and backward.
    """

    last_tokens = True

    def _project_inputs(self, projection: Any) -> None:
        self.query = projection("self_attn.q_proj")
        self.key_value = projection("self_attn.k_proj", "self_attn.v_proj", last_tokens=False)

    def _attend(self, hidden_TH: Tensor, rotary: tuple[Tensor, Tensor], pack: Pack) -> tuple[Tensor, Tensor]:
        normed_TH = _norm(self.norms[0], hidden_TH)
        (query,) = self._heads(self.query, normed_TH.index_select(0, pack.last_B))
        key, value = self._heads(self.key_value, normed_TH)
        query, key = self._normed_heads(query, key)
        attended_1BHD = last_token_attention(
            _heads_first(rotate(query, *(table.index_select(0, pack.last_B) for table in rotary))),
            _heads_first(rotate(key, *rotary)),
            _heads_first(value),
            pack=pack,
            scaling=self.scaling,
            window=self.window,
        )
        return attended_1BHD.squeeze(0), hidden_TH.index_select(0, pack.last_B)


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    source: Any = norm
    return rms_norm(x, source.weight, source.variance_epsilon)


def _heads_first(x_THD: Tensor) -> Tensor:
    return x_THD.transpose(0, 1).unsqueeze(0)


def _norms_heads(attention: Any) -> bool:
    return hasattr(attention, "q_norm")  # Qwen3


def _window_of(attention: Any) -> int | None:
    """Qwen's layers know their own sliding window, Mistral's look it up in the configuration."""
    return getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))
