"""Samples on disk: each a plain PEFT folder with the lineage of its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, BaseName, write_adapter
from ensemble_uq_llm.models.lora.spec import LoraSettings
from ensemble_uq_llm.posteriors.maker import Made, Maker
from ensemble_uq_llm.run_folder import MEMBER_RECORD, RunFolder
from ensemble_uq_llm.storage.change import Change
from ensemble_uq_llm.utils.files import sha256_of, write_json

_TRAINING: Final = ("settings", "steps", "kept_epoch", "final_train_loss")
"""What of a member's record tells how it was trained."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What all samples of a run are made from, and how."""

    maker: Maker
    generator_seed: int
    parents: Sequence[Mapping[str, Any]]
    """Of each member in the order of the stack: `parent_of` it."""
    base_digest: str
    data_digests: Sequence[str | None]
    """Of each member, the digest of what it was trained on, where that is known."""
    base: BaseName


@torch.no_grad()
def write_samples(ensemble: StackedEnsemble, made: Made, change: Change, *, lineage: Lineage) -> None:
    """Write every sample of every member into a change of their run, as PEFT folders; the stacks stay as they are.

    Raises:
        ConfigError: weights that are not finite; nothing of them is written. StorageError: the disk refuses.
    """
    _check_finite(ensemble, made, lineage.maker)
    stacks = dict(ensemble.named_stacks())
    kept = {name: stack.detach().clone() for name, stack in stacks.items()}
    try:
        for place in range(len(made.samples[0])):
            for index, member in enumerate(ensemble.members):
                for name, stack in stacks.items():
                    stack[index].copy_(made.samples[index][place].get(name, kept[name][index]))
                facts = made.facts[index] if made.facts else {}
                sample = MemberId(member.seed, place + 1)
                _write(ensemble, index, sample, change, facts=facts, lineage=lineage)
    finally:
        for name, stack in stacks.items():
            stack.copy_(kept[name])


def _check_finite(ensemble: StackedEnsemble, made: Made, maker: Maker) -> None:
    for member, samples in zip(ensemble.members, made.samples, strict=True):
        for number, weights in enumerate(samples, 1):
            if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
                settings = ", ".join(f"{key}={value}" for key, value in asdict(maker).items())
                raise ConfigError(
                    f"{maker.name}: sample {number} of {member.title} has weights that are not finite; its settings "
                    f"are {settings}: change them with --with KEY=VALUE"
                )


def _write(
    ensemble: StackedEnsemble,
    index: int,
    sample: MemberId,
    change: Change,
    *,
    facts: Mapping[str, Any],
    lineage: Lineage,
) -> None:
    folder = RunFolder(change.root).member(sample)
    folder.mkdir()
    write_adapter(ensemble, index, folder, settings=sample_settings(ensemble), base=lineage.base)
    outside = {"base": lineage.base_digest, "data": lineage.data_digests[index]}
    known = {source: digest for source, digest in outside.items() if digest is not None}
    change.binds(RunFolder(change.folder).member(sample) / WEIGHTS, known)
    record = {
        "seed": sample.seed,
        "sample": sample.sample,
        "maker": lineage.maker.name,
        "maker_settings": asdict(lineage.maker),
        "generator_seed": lineage.generator_seed,
        "parent": dict(lineage.parents[index]),
        "facts": dict(facts),
        **{f"{source}_digest": digest for source, digest in known.items()},
        "weights_sha256": sha256_of(folder / WEIGHTS),
    }
    write_json(folder / MEMBER_RECORD, record)


def sample_settings(ensemble: StackedEnsemble) -> LoraSettings:
    """Return a sample's adapters in the words of PEFT: layers by their full names, a scale of 1, as it is in B."""
    rank = ensemble.spec.rank
    return LoraSettings(
        rank=rank, alpha=rank * ensemble.spec.scaling, dropout=0.0, targets=tuple(sorted(ensemble.adapters))
    )


def parent_of(folder: Path, weights_sha256: str, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the lineage says of a parent: place, digest, and how it was trained where that is known."""
    told = {key: record[key] for key in _TRAINING if key in record} if record is not None else {}
    training = {"training": told} if told else {}
    return {"folder": str(folder.absolute()), "weights_sha256": weights_sha256, **training}
