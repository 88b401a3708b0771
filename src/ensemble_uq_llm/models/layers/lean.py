"""A decoder layer of the LLaMA form, written for packed rows: fewer and larger products, little memory moved.

Equal to transformers' layer up to rounding. What reads the same input shares what the backward needs (q, k, v; gate,
up), residuals are added by the products themselves, and norms, rotary embedding and SwiGLU are those of `ops.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ensemble_uq_llm.models.attention.packed import last_token_attention, packed_attention
from ensemble_uq_llm.models.frozen_linear import frozen_linear
from ensemble_uq_llm.models.layers.ops import rms_norm, rotate, swiglu
from ensemble_uq_llm.models.lora.stacked import Generators, LoraSpec, LoraStack, StackedProjection
from ensemble_uq_llm.models.pack import Pack, Span

LEAN_LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer")
"""Names of decoder layers of exactly this form: norm, attention, add, norm, MLP, add. Others stay transformers' own.

A name is a claim: `parity.py` compares what the layers compute.
"""


def has_lean_form(layer: nn.Module) -> bool:
    """Tell whether a layer of transformers has the name of one that `LeanLayer` computes."""
    mlp: Any = getattr(layer, "mlp", None)
    return type(layer).__name__ in LEAN_LAYERS and type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")


class LeanLayer(nn.Module):
    """What a layer of transformers computes, on the T rows of a pack: [T, H] -> [T, H].

    `stacks` holds the members' adapters by the name of the linear layer within the layer, such as `self_attn.q_proj`.
    """

    def __init__(self, layer: nn.Module, stacks: Mapping[str, LoraStack], *, spec: LoraSpec) -> None:
        super().__init__()
        source: Any = layer
        attention = source.self_attn
        self.head_dim, self.scaling, self.window = attention.head_dim, attention.scaling, window_of(attention)
        self.norms = nn.ModuleList([source.input_layernorm, source.post_attention_layernorm])
        self.query_key_norms = nn.ModuleList([attention.q_norm, attention.k_norm] if _norms_heads(attention) else [])

        def projection(*names: str) -> StackedProjection:
            linears = [frozen_linear(layer, name) for name in names]
            return StackedProjection(linears, [stacks.get(name) for name in names], spec=spec)

        self._project_inputs(projection)
        self.out = projection("self_attn.o_proj")
        self.gate_up = projection("mlp.gate_proj", "mlp.up_proj")
        self.down = projection("mlp.down_proj")
        self.query_heads = self.out.linears[0].in_features // self.head_dim

    def forward(self, hidden_TH: Tensor, pack: Pack, rotary: tuple[Tensor, Tensor], generators: Generators) -> Tensor:
        """Compute the layer; `rotary` is the table of `rotary_table` for the pack's positions."""
        query, key, value = self._projected(self.qkv, self._normed(hidden_TH), pack.token_spans, generators)
        query, key = self._normed_heads(query, key)
        query, key = rotate(query, *rotary), rotate(key, *rotary)
        attended_THD = packed_attention(query, key, value, pack=pack, scaling=self.scaling, window=self.window)
        return self._after_attention(attended_THD, hidden_TH, pack.token_spans, generators)

    def _project_inputs(self, projection: Callable[..., StackedProjection]) -> None:
        self.qkv = projection("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")

    def _normed(self, hidden_TH: Tensor) -> Tensor:
        return _norm(self.norms[0], hidden_TH)

    def _projected(
        self, projection: StackedProjection, normed: Tensor, spans: tuple[Span, ...], generators: Generators
    ) -> list[Tensor]:
        """Return the projections as rows of heads [rows, heads, D]."""
        return [part.unflatten(-1, (-1, self.head_dim)) for part in projection(normed, spans, generators)]

    def _normed_heads(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if not self.query_key_norms:
            return query, key
        query_norm, key_norm = self.query_key_norms
        return _norm(query_norm, query), _norm(key_norm, key)

    def _after_attention(
        self, attended: Tensor, hidden: Tensor, spans: tuple[Span, ...], generators: Generators
    ) -> Tensor:
        """Return the layer's output from what the queries read, [rows, heads, D], and the input of the same rows."""
        (hidden,) = self.out(attended.flatten(1), spans, generators, hidden)
        gate, up = self.gate_up(_norm(self.norms[1], hidden), spans, generators)
        (output,) = self.down(swiglu(gate, up), spans, generators, hidden)
        return output


class LeanLastLayer(LeanLayer):
    """The last layer, computed only where its result is read, at the last token of each sequence: [T, H] -> [B, H].

    Exact: keys and values still come from all tokens; queries, the output projection and the MLP are needed only
    for the token whose hidden state the head reads. It saves nearly one layer, forward and backward.
    """

    def forward(self, hidden_TH: Tensor, pack: Pack, rotary: tuple[Tensor, Tensor], generators: Generators) -> Tensor:
        """Compute the layer; `rotary` is the table of `rotary_table` for the pack's positions."""
        normed_TH, last_B = self._normed(hidden_TH), pack.last_B
        (query,) = self._projected(self.query, normed_TH.index_select(0, last_B), pack.sequence_spans, generators)
        key, value = self._projected(self.key_value, normed_TH, pack.token_spans, generators)
        query, key = self._normed_heads(query, key)
        query = rotate(query, *(table.index_select(0, last_B) for table in rotary))
        key = rotate(key, *rotary)
        attended_BHD = last_token_attention(query, key, value, pack=pack, scaling=self.scaling, window=self.window)
        return self._after_attention(attended_BHD, hidden_TH.index_select(0, last_B), pack.sequence_spans, generators)

    def _project_inputs(self, projection: Callable[..., StackedProjection]) -> None:
        self.query = projection("self_attn.q_proj")
        self.key_value = projection("self_attn.k_proj", "self_attn.v_proj")


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    source: Any = norm
    return rms_norm(x, source.weight, source.variance_epsilon)


def _norms_heads(attention: Any) -> bool:
    return hasattr(attention, "q_norm")  # Qwen3


def window_of(attention: Any) -> int | None:
    """Qwen's layers know their own sliding window, Mistral's look it up in the configuration."""
    return getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))
