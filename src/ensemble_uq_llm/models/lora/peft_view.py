"""What PEFT makes of an adapter's settings on a base: asked of PEFT itself, on a model without weights.

Which modules are adapted depends on a dozen keys (a list, an expression or `all-linear`, layers, patterns, exclusions,
modules saved whole ...) and on PEFT's version. So they are not interpreted a second time here.
"""

import copy
import warnings
from dataclasses import dataclass, fields
from typing import Any, Final

import peft
import torch
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification

from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.lora.adapter_tensors import PREFIX

_WITHOUT_EFFECT: Final = {
    "init_lora_weights": False,
    "loftq_config": {},
    "eva_config": None,
    "corda_config": None,
    "lora_ga_config": None,
}
"""How the adapter began: PEFT would do some of it again, and needs weights for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeftView:
    """The tensors that PEFT would look for in the adapter's file, and the rank and scale of each adapted module.

    Names are those within the whole model, such as `model.layers.0.self_attn.q_proj`.
    """

    tensors: frozenset[str]
    ranks: dict[str, int]
    scalings: dict[str, float]


def peft_view(settings: dict[str, Any], base: PreTrainedConfig, *, classes: int) -> PeftView:
    """Let PEFT put an adapter of these settings on a base of this configuration.

    Raises:
        Exception: whatever PEFT says of settings that it cannot use.
    """
    known = {field.name for field in fields(peft.LoraConfig)}
    own = {key: value for key, value in settings.items() if key in known} | _WITHOUT_EFFECT
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # advice on settings, which are no longer the reader's to choose
        model = _whole_model(base, own["task_type"], classes)
        adapted = peft.get_peft_model(model, peft.LoraConfig(**own), low_cpu_mem_usage=True)
        tensors = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    return PeftView(
        tensors=frozenset(name.removeprefix(PREFIX) for name in tensors),
        ranks={name: layer.r["default"] for name, layer in layers.items()},
        scalings={name: layer.scaling["default"] for name, layer in layers.items()},
    )


class _Classifier(GenericForSequenceClassification, PreTrainedModel):
    """What transformers' sequence classifiers are made of; some model types have none of their own."""

    config_class = PreTrainedConfig


def _whole_model(base: PreTrainedConfig, task_type: str, classes: int) -> PreTrainedModel:
    config = copy.deepcopy(base)
    config.num_labels = classes
    config._attn_implementation = PACKED_ATTENTION
    if task_type == "SEQ_CLS":
        return _Classifier(config)
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
