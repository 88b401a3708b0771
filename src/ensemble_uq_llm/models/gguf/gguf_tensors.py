"""A GGUF file's tensors against the model's parameters, by names and shapes, before any weight is read."""

import re
from typing import Final

from transformers import PreTrainedModel

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader
from ensemble_uq_llm.utils.text import clipped, listed

WHOLE: Final = {"token_embd": "embed_tokens", "output_norm": "norm"}
LAYER: Final = {
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
"""The names of GGUF, and those of transformers' decoders."""

HEAD: Final = "output.weight"
"""The LM head, which a decoder does without."""

_NAME: Final = re.compile(r"(?:blk\.(?P<layer>0|[1-9]\d{0,5})\.)?(?P<part>\w+)\.(?P<end>weight|bias)")


def check_gguf_tensors(header: GgufHeader, skeleton: PreTrainedModel) -> None:
    """Compare the file's table of tensors with a model on the meta device.

    Raises:
        ModelError: a tensor is missing, of another shape, or one that the model has no place for.
    """
    wanted = {name: tuple(parameter.shape) for name, parameter in skeleton.named_parameters()}
    stored = {_parameter(name): tensor for name, tensor in header.tensors.items() if name != HEAD}
    for name, tensor in stored.items():
        if name not in wanted:
            raise ModelError(
                f"model_name: {header.path} has a tensor {clipped(tensor.name)}{_why(tensor.name)}, which "
                "transformers' reader of GGUF files passes over: it would compute something else; give the model's "
                "folder of safetensors instead"
            )
        if tensor.shape != wanted[name]:
            raise ModelError(
                f"model_name: {tensor.name} in {header.path} has shape {tensor.shape}, and by the sizes in its header "
                f"it should have {wanted[name]}; get the file again"
            )
    if missing := sorted(wanted.keys() - stored.keys()):
        raise ModelError(f"model_name: {header.path} lacks weights: {listed(missing, most=3)}; get it again")


def _parameter(name: str) -> str:
    """Return the parameter's name for a tensor's, or what no parameter is called."""
    found = _NAME.fullmatch(name)
    if found is None:
        return f"?{name}"
    layer, part, end = found["layer"], found["part"], found["end"]
    if layer is None:
        return f"{WHOLE.get(part, f'?{part}')}.{end}"
    return f"layers.{layer}.{LAYER.get(part, f'?{part}')}.{end}"


def _why(name: str) -> str:
    return " (its rotary frequencies are scaled)" if name.startswith("rope_freqs") else ""
