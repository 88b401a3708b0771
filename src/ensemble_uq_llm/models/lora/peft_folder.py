"""Members on disk: each a plain PEFT adapter folder, written from and read into the stacked tensors.

Folders made elsewhere are read by this strict reader (never by PEFT's automatic classes): only safetensors,
only plain LoRA with the head that is asked for, every tensor named, shaped and finite as it must be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import peft
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.frozen_linear import is_linear
from ensemble_uq_llm.models.heads import CLASSIFICATION, HeadKind
from ensemble_uq_llm.models.lora.spec import AdapterSpec, LoraSettings
from ensemble_uq_llm.utils.files import read_json

WEIGHTS: Final = "adapter_model.safetensors"
SETTINGS: Final = "adapter_config.json"
_PREFIX: Final = "base_model.model."
_REFUSED: Final = {
    "use_dora": "DoRA",
    "lora_bias": "LoRA with a bias",
    "alora_invocation_tokens": "activated LoRA",
    "auto_mapping": "auto_mapping",
    "megatron_config": "a Megatron configuration",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "target_parameters",
    "rank_pattern": "a rank per layer",
    "alpha_pattern": "an alpha per layer",
}
_STARTS: Final = (True, False, None, "gaussian", "orthogonal", "eva")
"""PEFT's initialisations that leave the base as it is. The others (PiSSA, OLoRA, LoftQ ...) change it on loading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One member as read from its folder: `lora_a_RI`, `lora_b_OR` by module name, and its head's own tensors."""

    folder: Path
    scaling: float
    lora: dict[str, tuple[Tensor, Tensor]]
    head_kind: HeadKind
    head: dict[str, Tensor]

    @property
    def classes(self) -> int:
        """The classes of its head."""
        return self.head_kind.classes_of(self.head)

    @property
    def rank(self) -> int:
        """The rank of the adapter."""
        return max(a_RI.shape[0] for a_RI, _ in self.lora.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseName:
    """What `peft` finds the base by: a hub name with its revision, or the absolute path of a folder."""

    name: str
    revision: str | None = None


def write_adapter(
    ensemble: StackedEnsemble, index: int, folder: Path, *, settings: LoraSettings, base: BaseName
) -> None:
    """Write the member at `index` into an existing folder as a PEFT adapter that `peft` loads with equal logits."""
    tensors = {f"{_PREFIX}{name}": stack[index].detach().cpu().contiguous() for name, stack in ensemble.named_stacks()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    lora = peft.LoraConfig(
        base_model_name_or_path=base.name,
        revision=base.revision,
        task_type=peft.TaskType(ensemble.spec.head_kind.task_type),
        inference_mode=True,
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # declared int, used as a factor
        lora_dropout=settings.dropout,
        layers_to_transform=list(settings.layers) if settings.layers is not None else None,
        modules_to_save=ensemble.spec.head_kind.modules_to_save or None,
    )
    # Set here, because the constructor makes it a set, whose order differs from process to process.
    lora.target_modules = sorted(settings.targets)
    lora.save_pretrained(str(folder))


def read_adapter(folder: Path, *, head_kind: HeadKind = CLASSIFICATION) -> Adapter:
    """Read a PEFT adapter folder with this kind of head.

    Raises:
        IntegrityError: the folder is not a complete plain LoRA adapter with such a head.
    """
    settings = _read_settings(folder / SETTINGS, task_type=head_kind.task_type)
    tensors = _read_tensors(folder / WEIGHTS)
    head = {name: _pop_head(tensors, name, head_kind, folder / WEIGHTS) for name in head_kind.tensors}
    lora = _lora_of(tensors, folder / WEIGHTS, rank=settings["r"])
    scaling = settings["lora_alpha"] / (settings["r"] ** 0.5 if settings.get("use_rslora") else settings["r"])
    return Adapter(folder=folder, scaling=scaling, lora=lora, head_kind=head_kind, head=head)


def _pop_head(tensors: dict[str, Tensor], name: str, head_kind: HeadKind, path: Path) -> Tensor:
    module, _, leaf = name.rpartition(".")
    for each in (name, f"{module}.modules_to_save.{leaf}"):
        if each in tensors:
            return tensors.pop(each)
    raise IntegrityError(f"{path}: no {head_kind.name} head `{name}`; train it with `modules_to_save`")


def _lora_of(tensors: dict[str, Tensor], path: Path, *, rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the pairs of A and B by the names of their modules in the decoder; there must be nothing else."""
    lora: dict[str, tuple[Tensor, Tensor]] = {}
    for name in sorted(tensors):
        module, _, part = name.rpartition(".lora_")
        if part not in ("A.weight", "B.weight") or not module.startswith("model.layers."):
            raise IntegrityError(f"{path}: unexpected tensor {name!r}; only LoRA on the decoder's layers is read")
        pair = (f"{module}.lora_A.weight", f"{module}.lora_B.weight")
        if missing := [each for each in pair if each not in tensors]:
            raise IntegrityError(f"{path}: {missing[0]!r} is missing beside {name!r}")
        shape = tuple(tensors[name].shape)
        if len(shape) != 2 or shape[0 if part == "A.weight" else 1] != rank:
            raise IntegrityError(f"{path}: {name!r} has shape {shape}, and r is {rank} in {SETTINGS}")
        lora[module.removeprefix("model.")] = (tensors[pair[0]], tensors[pair[1]])
    if not lora:
        raise IntegrityError(f"{path}: holds a head and no LoRA tensors")
    return lora


@torch.no_grad()
def ensemble_of(
    decoder: PreTrainedModel, adapters: Sequence[Adapter], *, members: Sequence[MemberId]
) -> StackedEnsemble:
    """Stack adapters, which may differ in rank, scale and adapted modules, over one base.

    A member's scale moves into its B, a lower rank is filled up with zeros, a module that it does not adapt has
    B = 0: each member computes what it computed by itself.

    Raises:
        IntegrityError: an adapter does not fit the decoder, or the members have different classes.
    """
    spec = AdapterSpec(
        rank=max(adapter.rank for adapter in adapters),
        scaling=1.0,
        dropout=0.0,
        classes=adapters[0].classes,
        head_kind=adapters[0].head_kind,
        modules=tuple(dict.fromkeys(name for adapter in adapters for name in adapter.lora)),
    )
    known = {name for name, module in decoder.named_modules() if is_linear(module)}
    for adapter in adapters:
        if strange := sorted(set(adapter.lora) - known):
            raise IntegrityError(f"{adapter.folder}: adapts {strange[0]!r}, which the base model does not have")
    ensemble = StackedEnsemble(decoder, spec=spec, members=members)
    for member, adapter in enumerate(adapters):
        for name, stack in ensemble.head.named_stacks():
            _copy(adapter.head[name], stack[member], adapter.folder, name)
        for name in spec.modules:
            stacked = ensemble.adapters[f"model.{name}"]
            stacked.lora_a_MRI[member].zero_()
            stacked.lora_b_MOR[member].zero_()
            if name in adapter.lora:
                a_RI, b_OR = adapter.lora[name]
                _copy(a_RI, stacked.lora_a_MRI[member, : a_RI.shape[0]], adapter.folder, f"{name}.lora_A")
                _copy(
                    b_OR * adapter.scaling,
                    stacked.lora_b_MOR[member, :, : a_RI.shape[0]],
                    adapter.folder,
                    f"{name}.lora_B",
                )
    return ensemble


def _copy(source: Tensor, target: Tensor, folder: Path, name: str) -> None:
    if source.shape != target.shape:
        raise IntegrityError(
            f"{folder}: {name} has shape {tuple(source.shape)}, and the base model with these members needs "
            f"{tuple(target.shape)}; was it trained on another base or with other classes?"
        )
    target.copy_(source)


def _read_settings(path: Path, *, task_type: str) -> dict[str, Any]:
    try:
        settings = read_json(path)
    except FileNotFoundError:
        raise IntegrityError(f"{path}: there is no such file, so {path.parent} is not a PEFT adapter folder") from None
    except ValueError as error:
        raise IntegrityError(f"{path}: not JSON: {error}") from None
    kind = settings.get("peft_type"), settings.get("task_type")
    if kind != ("LORA", task_type):
        raise IntegrityError(
            f"{path}: peft_type {kind[0]!r} with task_type {kind[1]!r}; only LORA for {task_type} is read"
        )
    for key, name in _REFUSED.items():
        if settings.get(key):
            raise IntegrityError(f"{path}: {key} = {settings[key]!r}: {name} is not supported; only plain LoRA is read")
    if (start := settings.get("init_lora_weights")) not in _STARTS:
        raise IntegrityError(
            f"{path}: init_lora_weights = {start!r}: it changes the base too; convert the adapter to plain LoRA with "
            "`path_initial_model_for_weight_conversion` of PEFT's save_pretrained"
        )
    if settings.get("bias", "none") != "none":
        raise IntegrityError(f"{path}: bias = {settings['bias']!r}: trained biases are not supported")
    if not all(isinstance(settings.get(key), int | float) and settings[key] > 0 for key in ("r", "lora_alpha")):
        raise IntegrityError(f"{path}: r and lora_alpha must be positive numbers")
    return settings


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in float32 by their names in the base model; all of them finite."""
    if not path.exists():
        pickled = path.with_suffix(".bin")
        hint = f"; {pickled.name} is a pickle, which is never read: save it as safetensors" if pickled.exists() else ""
        raise IntegrityError(f"{path}: there is no such file{hint}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{path}: not a readable safetensors file: {error}") from None
    if strange := [name for name in tensors if not name.startswith(_PREFIX)]:
        raise IntegrityError(f"{path}: unexpected tensor {strange[0]!r}; PEFT's begin with {_PREFIX!r}")
    if wild := [name for name, tensor in tensors.items() if not tensor.float().isfinite().all()]:
        raise IntegrityError(f"{path}: {wild[0]!r} holds NaN or infinity")
    return {name.removeprefix(_PREFIX): tensor.float() for name, tensor in tensors.items()}
