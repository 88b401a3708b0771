"""The architectures that are read from GGUF: what each writes beside the usual, as llama.cpp's converter writes it.

A row says by which keys and names a file of the architecture describes a model of transformers, and what the converter
has done to the weights. Tests prove for each that a file gives the model that was written into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

OUTPUT: Final = "output.weight"
"""The tensor of the LM head; a file of a model whose head is its embedding has none."""

TOKEN_EMBEDDING: Final = "token_embd.weight"

USUAL_KEYS: Final = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
"""Keys of every architecture, and what transformers calls them."""

USUAL_NAMES: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""The names of a layer's tensors, and those of transformers' decoders."""

_NORMED_AFTER: Final = {
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_FOUR_NORMS: Final = _NORMED_AFTER | {"ffn_norm": "pre_feedforward_layernorm"}
_WINDOW: Final = {"attention.sliding_window": "sliding_window"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How one architecture differs from the usual."""

    model_type: str
    """What transformers calls it."""
    needed: Mapping[str, str] = field(default_factory=dict)
    """Further keys without which it is not described."""
    optional: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """Tensors of a layer whose names differ."""
    own_head_size: bool = False
    """Whether transformers' configuration has the size of a head (`head_dim`)."""
    base_may_lack: bool = False
    """Whether a file may be without the base of the rotary frequencies, which then is 10,000."""
    rows_in_pairs: bool = False
    """Whether the converter puts the rows of queries and keys in the order of llama.cpp's rotation."""
    norms_plus_one: bool = False
    """Whether the converter adds one to the weights of norms."""
    layers_of_27b: int | None = None
    """Gemma's model of 27B, known by its layers, scales its queries by another size, which no key says."""


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "llama": Architecture(model_type="llama", own_head_size=True, base_may_lack=True, rows_in_pairs=True),
    "qwen2": Architecture(model_type="qwen2"),
    "qwen3": Architecture(model_type="qwen3", own_head_size=True),
    "gemma": Architecture(model_type="gemma", own_head_size=True, base_may_lack=True, norms_plus_one=True),
    "gemma2": Architecture(
        model_type="gemma2",
        needed=_WINDOW
        | {
            "attn_logit_softcapping": "attn_logit_softcapping",
            "final_logit_softcapping": "final_logit_softcapping",
        },
        names=_FOUR_NORMS,
        own_head_size=True,
        base_may_lack=True,
        norms_plus_one=True,
        layers_of_27b=46,
    ),
    "gemma3": Architecture(
        model_type="gemma3_text",
        needed=_WINDOW,
        optional={"final_logit_softcapping": "final_logit_softcapping"},
        names=_FOUR_NORMS,
        own_head_size=True,
        norms_plus_one=True,
        layers_of_27b=62,
    ),
    "granite": Architecture(
        model_type="granite",
        needed={
            "attention.scale": "attention_multiplier",
            "embedding_scale": "embedding_multiplier",
            "residual_scale": "residual_multiplier",
            "logit_scale": "logits_scaling",
        },
        base_may_lack=True,
        rows_in_pairs=True,
    ),
    "olmo2": Architecture(model_type="olmo2", names=_NORMED_AFTER),
}
"""By `general.architecture`. Mistral's files are of `llama`."""
