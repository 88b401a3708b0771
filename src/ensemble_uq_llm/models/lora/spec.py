"""What the members of an ensemble have in common, and which linear layers of a decoder their adapters sit on."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ensemble_uq_llm.errors import ConfigError, ModelError
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.models.frozen_linear import is_linear
from ensemble_uq_llm.models.heads.classification import CLASSIFICATION
from ensemble_uq_llm.models.heads.head import HeadKind


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSpec:
    """Rank, scale of the output, dropout on the input, classes and kind of the head, and the adapted modules.

    `modules` are names within the decoder, such as `layers.0.self_attn.q_proj`; `adapts_head` tells whether the head
    has adapters too.
    """

    rank: int
    scaling: float
    dropout: float
    classes: int
    modules: tuple[str, ...]
    head_kind: HeadKind = CLASSIFICATION
    adapts_head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """The adapters that are asked for, in the words of PEFT; `layers` None is all of them."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    layers: tuple[int, ...] | None = None


def spec_of(
    settings: LoraSettings, decoder: nn.Module, *, classes: int, head_kind: HeadKind = CLASSIFICATION
) -> AdapterSpec:
    """Return the adapters that settings ask for on this decoder.

    Raises:
        ConfigError: a target module or layer that the decoder does not have.
    """
    return AdapterSpec(
        rank=settings.rank,
        scaling=settings.alpha / settings.rank,
        dropout=settings.dropout,
        classes=classes,
        modules=adapted_modules(decoder, settings.targets, settings.layers),
        head_kind=head_kind,
        adapts_head=head_kind.adapted in settings.targets,
    )


def adapted_modules(decoder: nn.Module, targets: Sequence[str], layers: Sequence[int] | None) -> tuple[str, ...]:
    """Return the names of the decoder's linear layers that are called as `targets` says, in the chosen layers.

    The LM head is none of them, though it may be a target.

    Raises:
        ConfigError: a target or layer index that the decoder does not have.
    """
    blocks = decoder_layers(decoder)
    chosen = range(len(blocks)) if layers is None else sorted(layers)
    if beyond := [index for index in chosen if index >= len(blocks)]:
        raise ConfigError(f"lora_layers: {beyond} asked for, and the model has layers 0 to {len(blocks) - 1}")
    names = [
        f"layers.{index}.{name}"
        for index in chosen
        for name, module in blocks[index].named_modules()
        if is_linear(module) and _leaf(name) in targets
    ]
    if missing := sorted(set(targets) - {_leaf(name) for name in names} - {LM_HEAD}):
        present = sorted({_leaf(n) for n, module in blocks[0].named_modules() if is_linear(module)})
        raise ConfigError(
            f"lora_target_modules: {', '.join(missing)} not found in {type(decoder).__name__}, whose layers have "
            f"{', '.join(present)}"
        )
    return tuple(names)


def decoder_layers(decoder: nn.Module) -> nn.ModuleList:
    """Return the decoder's layers.

    Raises:
        ModelError: the model is not a decoder of the Llama kind.
    """
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers) or not hasattr(layers[0], "self_attn"):
        raise ModelError(
            f"model_name: {type(decoder).__name__} is not a decoder of the LLaMA kind (Llama, Mistral, Qwen2, Qwen3, "
            "Gemma ...); name one of those"
        )
    return layers


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
