"""A GGUF file's tensors against the model's parameters, by names and shapes, before any weight is read."""

import re
from collections.abc import Mapping
from typing import Final

from transformers import PreTrainedModel

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.gguf.gguf_architectures import OUTPUT, USUAL_NAMES
from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader, GgufTensor
from ensemble_uq_llm.models.gguf.gguf_rope import DIVISORS
from ensemble_uq_llm.models.gguf.gguf_settings import architecture_of
from ensemble_uq_llm.utils.text import clipped, listed

WHOLE: Final = {"token_embd": "embed_tokens", "output_norm": "norm"}
"""The names of what is there once, in GGUF and in transformers' decoders."""

_NAME: Final = re.compile(r"(?:blk\.(?P<layer>0|[1-9]\d{0,5})\.)?(?P<part>\w+)\.(?P<end>weight|bias)")


def check_gguf_tensors(header: GgufHeader, skeleton: PreTrainedModel) -> None:
    """Compare the file's table of tensors with a model on the meta device.

    Raises:
        ModelError: a tensor is missing, of another shape, or one that the model has no place for.
    """
    wanted = {name: tuple(parameter.shape) for name, parameter in skeleton.named_parameters()}
    stored = parameters_of(header)
    for name, tensor in stored.items():
        if name not in wanted:
            raise ModelError(
                f"model_name: {header.path} has a tensor {clipped(tensor.name)}, for which the model has no "
                "place: it would compute something else; give the model's folder of safetensors instead"
            )
        if tensor.shape != wanted[name]:
            raise ModelError(
                f"model_name: {tensor.name} in {header.path} has shape {tensor.shape}, and by the sizes in its header "
                f"it should have {wanted[name]}; get the file again"
            )
    if missing := sorted(wanted.keys() - stored.keys()):
        raise ModelError(f"model_name: {header.path} lacks weights: {listed(missing, most=3)}; get it again")


def parameters_of(header: GgufHeader) -> dict[str, GgufTensor]:
    """Return the file's tensors by the names of the decoder's parameters, or by what no parameter is called.

    Raises:
        ModelError: the file's architecture is none that is read.
    """
    _, architecture = architecture_of(header)
    names = {**USUAL_NAMES, **architecture.names}
    apart = (OUTPUT, DIVISORS)  # what a decoder does without
    return {_parameter(name, names): tensor for name, tensor in header.tensors.items() if name not in apart}


def _parameter(name: str, names: Mapping[str, str]) -> str:
    found = _NAME.fullmatch(name)
    if found is None:
        return f"?{name}"
    layer, part, end = found["layer"], found["part"], found["end"]
    if layer is None:
        return f"{WHOLE.get(part, f'?{part}')}.{end}"
    return f"layers.{layer}.{names.get(part, f'?{part}')}.{end}"
