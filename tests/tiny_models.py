"""Tiny random decoders of every supported family, made on the spot, and the same members as `peft` builds them.

Weights are wide enough that attention is far from uniform, and norms and biases are random too, so that a
forgotten one shows. Token 0 is padding: `random_sequences` never draws it.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from torch import Generator, Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.spec import AdapterSpec, adapted_modules
from ensemble_uq_llm.utils.seeding import derive_seed

VOCABULARY = 97
ALL_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "llama": {},
    "llama-untied-one-layer": {"num_hidden_layers": 1, "tie_word_embeddings": False},
    "llama-biased": {"attention_bias": True, "mlp_bias": True},
    "llama-without-gqa": {"num_key_value_heads": 4},
    "mistral": {"sliding_window": 5},
    "qwen2": {},
    "qwen2-sliding": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
    "qwen3-sliding": {"head_dim": 8, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 5, "attn_logit_softcapping": 3.0, "query_pre_attn_scalar": 4},
}
"""What each of the usual families adds to SHAPE; the part before the first dash is its model type."""
EVERY_FAMILY = FAMILIES | {
    "arcee": {},
    "cohere": {},
    "cohere-normed": {"use_qk_norm": True},
    "cohere2": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "ernie4_5": {},
    "exaone4": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "gemma3_text": {"head_dim": 8, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "granite": {"attention_multiplier": 0.3, "residual_multiplier": 0.7, "embedding_multiplier": 2.0},
    "helium": {"head_dim": 8},
    "hunyuan_v1_dense": {"head_dim": 8},
    "ministral": {"head_dim": 8, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "ministral3": {"head_dim": 8, "sliding_window": 5},
    "olmo": {"clip_qkv": 1.5},
    "olmo2": {},
    "olmo3": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "phi": {"partial_rotary_factor": 0.5},
    "phi3": {"sliding_window": 5},
    "seed_oss": {"head_dim": 8},
    "smollm3": {"no_rope_layers": [1, 0]},
    "smollm3-sliding": {"use_sliding_window": True, "sliding_window": 5, "no_rope_layers": [0, 1]},
    "starcoder2": {"sliding_window": 5},
}
"""The same for every model type that is taken as a base."""
FUSED_TARGETS = {
    "arcee": (*ALL_TARGETS[:4], "up_proj", "down_proj"),
    "glm": (*ALL_TARGETS[:4], "gate_up_proj", "down_proj"),
    "glm4": (*ALL_TARGETS[:4], "gate_up_proj", "down_proj"),
    "phi": ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "starcoder2": (*ALL_TARGETS[:4], "c_fc", "c_proj"),
}
"""The linear layers of the types that do not have the usual seven."""


def tiny_config(family: str = "llama", **overrides) -> PreTrainedConfig:
    """Return the configuration of a member of EVERY_FAMILY."""
    model_type = family.partition("-")[0]
    return transformers.CONFIG_MAPPING[model_type](**SHAPE | EVERY_FAMILY[family] | overrides)


def tiny_causal_lm(
    config: PreTrainedConfig, *, seed: int = 0, attention: str = PACKED_ATTENTION, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """Return a frozen model with an LM head, every tensor of which is random and depends on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation=attention)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.to(dtype).requires_grad_(False).eval()


def tiny_decoder(
    config: PreTrainedConfig, *, seed: int = 0, attention: str = PACKED_ATTENTION, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """Return the same model's decoder: without its LM head."""
    return tiny_causal_lm(config, seed=seed, attention=attention, dtype=dtype).model


def tiny_llama(*, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides) -> LlamaModel:
    """Return a LLaMA with GQA and packed attention, frozen; `overrides` are keys of its configuration."""
    return tiny_decoder(tiny_config(**overrides), seed=seed, dtype=dtype)


def save_tiny_llama(folder: Path, *, seed: int = 0, **overrides) -> Path:
    """Write the same LLaMA as a Hugging Face folder in safetensors, with its LM head and without a tokenizer."""
    tiny_causal_lm(tiny_config(**overrides), seed=seed, attention="eager").save_pretrained(folder)
    return folder


def random_sequences(count: int, *, seed: int, lowest: int = 1, highest: int = 40) -> list[np.ndarray]:
    """Return `count` sequences of `lowest` to `highest` random tokens, none of which is padding."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(lowest, highest + 1, size=count)
    return [rng.integers(1, VOCABULARY, size=length, dtype=np.int32) for length in lengths]


def spec(
    *,
    decoder: nn.Module,
    rank: int = 4,
    alpha: float = 8,
    dropout: float = 0.0,
    targets: Sequence[str] = ("q_proj", "v_proj"),
    layers: Sequence[int] | None = None,
    classes: int = 2,
) -> AdapterSpec:
    """Return what `spec_of` makes of a configuration with these adapters."""
    return AdapterSpec(
        rank=rank,
        scaling=alpha / rank,
        dropout=dropout,
        classes=classes,
        modules=adapted_modules(decoder, targets, layers),
    )


@torch.no_grad()
def randomise(ensemble: StackedEnsemble, scale: float = 0.1) -> StackedEnsemble:
    """Give every member adapters and a head of its own, that depend on nothing but its seed, and return it."""
    for name, stack in ensemble.named_stacks():
        for member, seed in enumerate(each.seed for each in ensemble.members):
            generator = Generator().manual_seed(derive_seed(seed, "randomise", name))
            stack[member].copy_(torch.randn(stack.shape[1:], generator=generator) * scale)
    return ensemble


def tiny_ensemble(family: str = "llama", *, seeds: Sequence[int] = (42, 43, 44), **adapters) -> StackedEnsemble:
    """Return a randomised ensemble over a tiny decoder; `adapters` are the arguments of `spec`."""
    decoder = tiny_decoder(tiny_config(family))
    return randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder, **adapters), members=trained(seeds)))


def sequence_classifier(folder_or_base: Path | PreTrainedModel, *, classes: int) -> PreTrainedModel:
    """Return transformers' own classifier, eager and padded, over a saved model or the weights of a fresh decoder."""
    settings = {"num_labels": classes, "attn_implementation": "eager"}
    if isinstance(folder_or_base, PreTrainedModel):
        config = copy.deepcopy(folder_or_base.config)
        config.num_labels = classes
        config._attn_implementation = "eager"
        has_own = config.model_type in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
        model = AutoModelForSequenceClassification.from_config(config) if has_own else AnyClassifier(config)
        model.base_model.load_state_dict(folder_or_base.state_dict())
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder_or_base, **settings)
    return model.eval()


class AnyClassifier(GenericForSequenceClassification, PreTrainedModel):
    """What transformers' sequence classifiers are made of, for the types to which it gives none."""

    config_class = PreTrainedConfig


@torch.no_grad()
def peft_member(
    folder_or_base: Path | PreTrainedModel,
    ensemble: StackedEnsemble,
    member: int,
    *,
    targets: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    layers: Sequence[int] | None = None,
) -> peft.PeftModel:
    """Return one member as `peft` builds it, in evaluation mode, with the member's weights copied in.

    `folder_or_base` is a saved model, or a decoder that no ensemble has changed.
    """
    settings = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        layers_to_transform=None if layers is None else list(layers),
        modules_to_save=["score"],
    )
    model = peft.get_peft_model(sequence_classifier(folder_or_base, classes=ensemble.spec.classes), settings)
    inner = model.base_model.model
    for name, adapter in ensemble.adapters.items():
        lora = inner.get_submodule(name)
        lora.lora_A["default"].weight.copy_(adapter.lora_a_MRI[member])
        lora.lora_B["default"].weight.copy_(adapter.lora_b_MOR[member])
    inner.score.modules_to_save["default"].weight.copy_(ensemble.head.weight_MCH[member])
    adapted = {name for name, module in inner.named_modules() if hasattr(module, "lora_A")}
    assert adapted == set(ensemble.adapters), "peft and the ensemble adapt different modules"
    return model.eval()


@torch.no_grad()
def peft_answerer(
    folder_or_model: Path | PreTrainedModel,
    ensemble: StackedEnsemble,
    member: int,
    *,
    tokens: Sequence[int],
    targets: Sequence[str],
    rank: int,
    alpha: float,
) -> peft.PeftModel:
    """Return one member as `peft` builds it on a whole language model; B on the LM head has zeros but for `tokens`."""
    if isinstance(folder_or_model, PreTrainedModel):
        model = copy.deepcopy(folder_or_model)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder_or_model, attn_implementation="eager")
    settings = peft.LoraConfig(
        task_type=peft.TaskType.CAUSAL_LM, r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(targets)
    )
    adapted = peft.get_peft_model(model, settings)
    for name, stack in ensemble.adapters.items():
        lora = adapted.base_model.model.get_submodule(name)
        lora.lora_A["default"].weight.copy_(stack.lora_a_MRI[member])
        b_OR = lora.lora_B["default"].weight
        b_OR.zero_()
        b_OR[list(tokens) if name == "lm_head" else slice(None)] = stack.lora_b_MOR[member]
    return adapted.eval()


def padded(sequences: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Return the sequences as a batch, padded on the right with token 0, and its attention mask."""
    longest = max(map(len, sequences))
    tokens_BT = np.zeros((len(sequences), longest), dtype=np.int64)
    for row, tokens in zip(tokens_BT, sequences, strict=True):
        row[: len(tokens)] = tokens
    input_ids = torch.from_numpy(tokens_BT)
    return {"input_ids": input_ids, "attention_mask": (input_ids != 0).long()}


@torch.no_grad()
def classified(model: nn.Module, sequences: Sequence[np.ndarray]) -> Tensor:
    """Return a transformers or `peft` classifier's logits [B, C] on a padded batch."""
    return model(**padded(sequences)).logits


def assert_close(actual: Tensor, expected: Tensor, *, relative: float = 1e-5) -> None:
    """Hold that no entry is off by more than `relative` times the largest entry that is expected."""
    assert actual.shape == expected.shape
    largest = expected.abs().max().item()
    assert largest > 0, "nothing but zeros is expected, which proves nothing"
    error = (actual.double() - expected.double()).abs().max().item()
    assert error <= relative * largest, f"off by {error:.2e}, and the largest entry is {largest:.2e}"


def train_and_save(model: Any, lora: peft.LoraConfig, loss_of: Callable[[Any], Tensor], folder: Path) -> Path:
    """Train an adapter for a few large steps with `peft` alone, save it, and return its folder."""
    adapted = peft.get_peft_model(model, lora).train()
    optimizer = torch.optim.Adam([each for each in adapted.parameters() if each.requires_grad], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(adapted).backward()
        optimizer.step()
    adapted.save_pretrained(str(folder))
    return folder
