"""Whether lean layers compute what a decoder's own do: a few rows through both, once, when adapters are put on.

The names of layers say which are worth a try. What they compute is measured, because a class of the same name may
compute something else: a changed copy, a subclass, another version of transformers.
"""

import copy
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ensemble_uq_llm.models.layers.lean import LeanLayer, has_lean_form, window_of
from ensemble_uq_llm.models.layers.ops import rotary_table
from ensemble_uq_llm.models.lora.spec import decoder_layers
from ensemble_uq_llm.models.lora.stacked import LoraSpec
from ensemble_uq_llm.models.pack import make_pack

LENGTHS = (9, 1, 4)
"""The tokens of the sequences that are compared."""

TOLERANCE = 1e-4
"""How far the two may be apart, relative to what the layer adds to its input; float32 rounds at about 1e-6."""


def can_be_lean(decoder: PreTrainedModel) -> bool:
    """Tell whether `LeanLayer` computes what every layer of the decoder does; one of each kind is compared.

    The decoder must run with our attention. Warns where layers of a known name compute something else.
    """
    layers = decoder_layers(decoder)
    if not all(map(has_lean_form, layers)):
        return False
    for layer in {_kind(layer): layer for layer in layers}.values():
        if not _is_equal(decoder, layer):
            warnings.warn(
                f"model_name: {type(layer).__name__} of this model does not compute what layers of this name do; its "
                "own layers are used, which is slower",
                stacklevel=3,
            )
            return False
    return True


def _kind(layer: Any) -> tuple[Any, ...]:
    """What two layers that differ only in their weights have in common."""
    modules = tuple((name, type(module)) for name, module in layer.named_modules())
    return modules, window_of(layer.self_attn), layer.self_attn.scaling


@torch.no_grad()
def _is_equal(decoder: PreTrainedModel, layer: nn.Module) -> bool:
    """Compare in float32, on a copy of the one layer if need be: in bfloat16 rounding would hide an error of 1%."""
    source: Any = decoder
    weight = next(decoder.parameters())
    plain: Any = layer if weight.dtype == torch.float32 else copy.deepcopy(layer).float()
    tokens = np.arange(sum(LENGTHS), dtype=np.int32) % decoder.config.get_text_config().vocab_size
    pack = make_pack([(0, np.split(tokens, np.cumsum(LENGTHS)[:-1]))], device=weight.device)
    rows_1TH = source.embed_tokens(pack.tokens_T)[None].float()
    cos_1TD, sin_1TD = source.rotary_emb(rows_1TH, pack.positions_T[None])
    theirs_TH = plain(rows_1TH, position_embeddings=(cos_1TD, sin_1TD), attention_mask=None, pack=pack)[0]
    lean = LeanLayer(plain, {}, spec=LoraSpec(scaling=1.0, dropout=0.0))
    ours_TH = lean(rows_1TH[0], pack, rotary_table(cos_1TD[0], sin_1TD[0], lean.query_heads), None)
    return bool((ours_TH - theirs_TH).norm() <= TOLERANCE * (theirs_TH - rows_1TH[0]).norm())
