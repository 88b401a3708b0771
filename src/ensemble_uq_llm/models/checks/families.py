"""Which model types are known to compute in a pack what transformers computes of each sequence alone.

A pack holds many sequences in one row, and only plain causal attention, with or without a sliding window, is confined
to its own sequence by `attention/packed.py`. That a type has no more than that is proved by the tests, against
transformers and peft, for every type named here.
"""

from typing import Final

from transformers import PreTrainedConfig

from ensemble_uq_llm.errors import ModelError

PROVEN: Final = (
    "arcee",
    "cohere",
    "cohere2",
    "ernie4_5",
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "granite",
    "helium",
    "hunyuan_v1_dense",
    "llama",
    "ministral",
    "ministral3",
    "mistral",
    "olmo",
    "olmo2",
    "olmo3",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "seed_oss",
    "smollm3",
    "starcoder2",
)
"""The model types (`model_type` in config.json) whose equality with transformers a test proves."""

LAYER_TYPES: Final = {"full_attention", "sliding_attention"}
"""The kinds of layers that are plain causal attention."""

OBSTACLES: Final = {
    "bloom": "its attention (ALiBi) is computed beside transformers' common interface",
    "deepseek_v3": "its latent attention has keys and values of different widths",
    "doge": "its attention masks tokens by their content",
    "falcon": "its attention is computed beside transformers' common interface",
    "falcon_h1": "its layers carry a state from token to token",
    "falcon_mamba": "its layers carry a state from token to token",
    "gemma3": "it reads images too, and its attention is bidirectional there; its text decoder (gemma3_text) is read",
    "gpt_oss": "its attention has sinks",
    "jamba": "its layers carry a state from token to token",
    "lfm2": "its layers convolve over neighbouring tokens",
    "mamba": "its layers carry a state from token to token",
    "mamba2": "its layers carry a state from token to token",
    "mpt": "its attention (ALiBi) is computed beside transformers' common interface",
    "nemotron": "its layers do not hand the pack on to their attention",
    "qwen3_next": "its layers carry a state from token to token",
    "recurrent_gemma": "its layers carry a state from token to token",
    "rwkv": "its layers carry a state from token to token",
    "stablelm": "its layers do not hand the pack on to their attention",
    "zamba2": "its layers carry a state from token to token",
}
"""Well-known types that cannot be packed, with the reason; others that cannot are found out by the parity check."""


def check_family(settings: PreTrainedConfig, *, allow_unproven: bool) -> None:
    """Refuse a model whose attention is not known to be plain causal.

    With `allow_unproven` a type outside the table passes here, and must be compared with transformers once loaded.

    Raises:
        ModelError: the type is not one that can be packed, or not in the table; the message names those that are.
    """
    kind = settings.model_type
    if settings.is_encoder_decoder:
        raise ModelError(f"model_name: {kind} is an encoder-decoder; a causal decoder is needed, {_table()}")
    if kind in OBSTACLES:
        raise ModelError(f"model_name: {kind} cannot be computed in packs: {OBSTACLES[kind]}; name a model {_table()}")
    if getattr(settings, "use_bidirectional_attention", None) or getattr(settings, "is_causal", True) is False:
        raise ModelError(
            f"model_name: this {kind} has bidirectional attention (use_bidirectional_attention or is_causal in its "
            "config.json); a causal decoder is needed"
        )
    if others := sorted({*(getattr(settings, "layer_types", None) or ())} - LAYER_TYPES):
        raise ModelError(f"model_name: this {kind} has {', '.join(others)} layers; only plain causal attention is read")
    if kind not in PROVEN and not allow_unproven:
        raise ModelError(
            f"model_name: {kind} is not among the model types whose equality with transformers is proved "
            f"({', '.join(PROVEN)}); name a model of one of these, or set allow_unproven_model: true to have it "
            "compared with transformers before it is used"
        )


def _table() -> str:
    return f"of one of these types: {', '.join(PROVEN)}"
