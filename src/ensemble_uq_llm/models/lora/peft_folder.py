"""Members on disk: each a plain PEFT adapter folder, written from and read into the stacked tensors.

Folders made elsewhere are read by this strict reader (never by PEFT's automatic classes): only safetensors,
only plain LoRA with the head that is asked for, every tensor named, shaped and finite as it must be.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import peft
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.checks.folder_files import obstacle
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.strict_json import LARGEST_JSON
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.frozen_linear import is_linear
from ensemble_uq_llm.models.heads.classification import CLASSIFICATION
from ensemble_uq_llm.models.heads.head import HeadKind
from ensemble_uq_llm.models.lora.adapter_tensors import PREFIX, tensors_of
from ensemble_uq_llm.models.lora.peft_expressions import endless_expression
from ensemble_uq_llm.models.lora.peft_settings import SETTINGS, parse_settings
from ensemble_uq_llm.models.lora.peft_view import PeftView, peft_view
from ensemble_uq_llm.models.lora.spec import AdapterSpec, LoraSettings
from ensemble_uq_llm.storage.guard import read_guarded
from ensemble_uq_llm.utils.text import clipped, listed

WEIGHTS: Final = "adapter_model.safetensors"
LARGEST_WEIGHTS: Final = 8 * 2**30
"""Bytes of one adapter: rank 256 on every layer of the largest LLaMA takes less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One member as read from its folder: `lora_a_RI`, `lora_b_OR` by module name, and its head's own tensors.

    Names are those within the decoder, and, of adapters on the head, the head's; there B has the rows of the classes
    only. `settings` is the content of its `adapter_config.json`.
    """

    folder: Path
    settings: dict[str, Any]
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
    head_kind = ensemble.spec.head_kind
    tensors = {
        f"{PREFIX}{name}": head_kind.to_folder(name, stack[index].detach().cpu()).contiguous()
        for name, stack in ensemble.named_stacks()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    lora = peft.LoraConfig(
        base_model_name_or_path=base.name,
        revision=base.revision,
        task_type=peft.TaskType(head_kind.task_type),
        inference_mode=True,
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # declared int, used as a factor
        lora_dropout=settings.dropout,
        layers_to_transform=list(settings.layers) if settings.layers is not None else None,
        modules_to_save=head_kind.modules_to_save or None,
    )
    # Set here, because the constructor makes it a set, whose order differs from process to process.
    lora.target_modules = sorted(settings.targets)
    lora.save_pretrained(str(folder))


def read_adapter(folder: Path, *, head_kind: HeadKind = CLASSIFICATION) -> Adapter:
    """Read a PEFT adapter folder with this kind of head.

    Raises:
        IntegrityError: the folder is not a complete plain LoRA adapter with such a head.
    """
    settings, weights = _settings_of(folder / SETTINGS), _weights_of(folder / WEIGHTS)
    return adapter_of(folder, settings=settings, weights=weights, head_kind=head_kind)


def adapter_of(folder: Path, *, settings: bytes, weights: bytes, head_kind: HeadKind = CLASSIFICATION) -> Adapter:
    """Return the adapter whose two files hold these bytes; `folder` is where they were read.

    Raises:
        IntegrityError: they are not a complete plain LoRA adapter with such a head.
    """
    parsed = parse_settings(settings, folder / SETTINGS, task_type=head_kind.task_type)
    path = folder / WEIGHTS
    tensors = head_kind.from_folder(tensors_of(weights, path), path)
    head = {name: _pop_head(tensors, name, head_kind, path) for name in head_kind.tensors}
    return Adapter(
        folder=folder, settings=parsed, lora=_lora_of(tensors, head_kind, path), head_kind=head_kind, head=head
    )


def _settings_of(path: Path) -> bytes:
    if not path.exists():
        raise IntegrityError(f"{path}: there is no such file, so {path.parent} is not a PEFT adapter folder")
    return _read(path, largest=LARGEST_JSON)


def _weights_of(path: Path) -> bytes:
    if not path.exists():
        pickled = path.with_suffix(".bin")
        hint = f"; {pickled.name} is a pickle, which is never read: save it as safetensors" if pickled.exists() else ""
        raise IntegrityError(f"{path}: there is no such file{hint}")
    return _read(path, largest=LARGEST_WEIGHTS)


def _read(path: Path, *, largest: int) -> bytes:
    if reason := obstacle(path, largest=largest):
        raise IntegrityError(f"{path}: {reason}")
    return read_guarded(path)  # as it was written, where it is a run's


def _pop_head(tensors: dict[str, Tensor], name: str, head_kind: HeadKind, path: Path) -> Tensor:
    module, _, leaf = name.rpartition(".")
    for each in (name, f"{module}.modules_to_save.{leaf}"):
        if each in tensors:
            tensor = tensors.pop(each)
            if tensor.dim() == 0:
                raise IntegrityError(f"{path}: {each!r} is a single number")
            return tensor
    raise IntegrityError(f"{path}: no {head_kind.name} head `{name}`; train it with `modules_to_save`")


def _lora_of(tensors: dict[str, Tensor], head_kind: HeadKind, path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the pairs of A and B by the names of their modules; there must be nothing else."""
    lora: dict[str, tuple[Tensor, Tensor]] = {}
    for name in sorted(tensors):
        module, _, part = name.rpartition(".lora_")
        is_read = module.startswith("model.layers.") or module == head_kind.adapted
        if part not in ("A.weight", "B.weight") or not is_read:
            layers = "the decoder's layers" + (f" and {head_kind.adapted}" if head_kind.adapted else "")
            raise IntegrityError(f"{path}: unexpected tensor {clipped(name)}; only LoRA on {layers} is read")
        pair = (f"{module}.lora_A.weight", f"{module}.lora_B.weight")
        if missing := [each for each in pair if each not in tensors]:
            raise IntegrityError(f"{path}: {clipped(missing[0])} is missing beside {clipped(name)}")
        if tensors[name].dim() != 2:
            raise IntegrityError(
                f"{path}: {clipped(name)} has shape {tuple(tensors[name].shape)}, not that of a matrix"
            )
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
    B = 0: each member computes what it computed by itself. So do members of which only some adapt the head.

    Raises:
        IntegrityError: an adapter does not fit the decoder, or the members have different classes.
    """
    head_kind = adapters[0].head_kind
    adapted = dict.fromkeys(name for adapter in adapters for name in adapter.lora)
    spec = AdapterSpec(
        rank=max(adapter.rank for adapter in adapters),
        scaling=1.0,
        dropout=0.0,
        classes=adapters[0].classes,
        head_kind=head_kind,
        modules=tuple(name for name in adapted if name != head_kind.adapted),
        adapts_head=head_kind.adapted in adapted,
    )
    views = _checked_views(decoder, adapters)
    ensemble = StackedEnsemble(decoder, spec=spec, members=members)
    for member, (adapter, view) in enumerate(zip(adapters, views, strict=True)):
        for name, stack in ensemble.head.named_stacks():
            _copy(adapter.head[name], stack[member], adapter.folder, name)
        for name in adapted:
            stacked = ensemble.adapters[_in_whole_model(name, head_kind)]
            stacked.lora_a_MRI[member].zero_()
            stacked.lora_b_MOR[member].zero_()
            if name in adapter.lora:
                a_RI, b_OR = adapter.lora[name]
                _copy(a_RI, stacked.lora_a_MRI[member, : a_RI.shape[0]], adapter.folder, f"{name}.lora_A")
                _copy(
                    b_OR * view.scalings[_in_whole_model(name, head_kind)],
                    stacked.lora_b_MOR[member, :, : a_RI.shape[0]],
                    adapter.folder,
                    f"{name}.lora_B",
                )
    return ensemble


def _checked_views(decoder: PreTrainedModel, adapters: Sequence[Adapter]) -> list[PeftView]:
    """Return what PEFT makes of each adapter's settings, having found the adapter's tensors to be just that."""
    known = {name for name, module in decoder.named_modules() if is_linear(module)}
    modules = [*(f"model.{name}" for name, _ in decoder.named_modules()), LM_HEAD]
    views: dict[str, PeftView] = {}
    used: list[PeftView] = []
    for adapter in adapters:
        if strange := sorted(set(adapter.lora) - known - {adapter.head_kind.adapted}):
            raise IntegrityError(f"{adapter.folder}: adapts {clipped(strange[0])}, which the base model does not have")
        key = f"{adapter.classes} {json.dumps(adapter.settings, sort_keys=True)}"
        if key not in views:
            if endless := endless_expression(adapter.settings, modules):
                raise IntegrityError(
                    f"{adapter.folder / SETTINGS}: the expressions in {endless} take too long to match; list the names "
                    "of the modules instead"
                )
            try:
                views[key] = peft_view(adapter.settings, decoder.config, classes=adapter.classes)
            except Exception as error:
                raise IntegrityError(f"{adapter.folder / SETTINGS}: PEFT cannot use it: {quoted(error)}") from error
        _check_agreement(adapter, views[key])
        used.append(views[key])
    return used


def _check_agreement(adapter: Adapter, view: PeftView) -> None:
    """Demand that the adapter has the modules and ranks that its settings say, no more and no fewer."""
    path = adapter.folder / SETTINGS
    whole = {name: _in_whole_model(name, adapter.head_kind) for name in adapter.lora}
    names = {f"{name}.lora_{part}.weight" for name in whole.values() for part in "AB"} | {*adapter.head}
    if beyond := sorted(names - view.tensors):
        raise IntegrityError(
            f"{path}: by its settings PEFT does not read {listed(beyond, most=3)} of {WEIGHTS}; the two files are not "
            "of one adapter, or target_modules, layers_to_transform or another key was changed"
        )
    if missing := sorted(view.tensors - names):
        raise IntegrityError(
            f"{path}: by its settings PEFT wants {listed(missing, most=3)}, which {WEIGHTS} does not have; the two "
            "files are not of one adapter, or target_modules, modules_to_save or another key was changed"
        )
    for name, (a_RI, b_OR) in adapter.lora.items():
        rank = view.ranks[whole[name]]
        if (a_RI.shape[0], b_OR.shape[1]) != (rank, rank):
            raise IntegrityError(
                f"{adapter.folder / WEIGHTS}: the rank of {name} is {a_RI.shape[0]} in its A and {b_OR.shape[1]} in "
                f"its B, and by {SETTINGS} (r, rank_pattern) it is {rank}"
            )


def _in_whole_model(name: str, head_kind: HeadKind) -> str:
    """Return the name in the whole model of a module whose name is one in the decoder, or that of the head."""
    return name if name == head_kind.adapted else f"model.{name}"


def _copy(source: Tensor, target: Tensor, folder: Path, name: str) -> None:
    if source.shape != target.shape:
        raise IntegrityError(
            f"{folder}: {name} has shape {tuple(source.shape)}, and the base model with these members needs "
            f"{tuple(target.shape)}; was it trained on another base or with other classes?"
        )
    target.copy_(source)
    if not target.isfinite().all():
        raise IntegrityError(f"{folder}: {name} overflows once it is scaled; is lora_alpha in {SETTINGS} right?")
