"""The checks before any work that need the engine: the device, the base and its layers, tokens, finished members."""

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from ensemble_uq_llm.commands.check_list import ANSWER_KEYS, DATA_KEYS, MODEL_KEYS, CheckList
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.data.datasets import find_dataset
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.labels.class_names import FROM_DATA
from ensemble_uq_llm.models.base import load_skeleton, load_tokenizer
from ensemble_uq_llm.models.base_files import base_files, digest_of
from ensemble_uq_llm.models.checks.weights import INDEX, WEIGHTS, check_weights
from ensemble_uq_llm.models.gguf.gguf_header import is_gguf
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.local import local_folder
from ensemble_uq_llm.models.lora.spec import adapted_modules
from ensemble_uq_llm.models.tokenizer import BaseTokenizer
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.samples.posterior_record import title_of
from ensemble_uq_llm.training.from_config import base_folder
from ensemble_uq_llm.training.keeping.checkpoints import Checkpoints
from ensemble_uq_llm.training.keeping.groups import check_nothing_is_lost, interrupted
from ensemble_uq_llm.training.keeping.made_with import making_of
from ensemble_uq_llm.training.outcomes import Digests, check_same_making
from ensemble_uq_llm.utils.device import describe_device, devices_of
from ensemble_uq_llm.utils.text import counted, enumerated


@dataclass(slots=True)
class _Base:
    """What could be had of the base, and whether its weights are here."""

    tokenizer: BaseTokenizer | None = None
    digest: str | None = None


def check_engine(config: Config, found: CheckList) -> None:
    """Note whatever is wrong with the device, the base, the tokens of local data, and the members that are there."""
    if found.are_right({"device", "num_gpus"}):
        with found.noting():
            found.facts["device"] = describe_device(devices_of(config.device, num_gpus=config.num_gpus)[0])
    base = _Base()
    if found.are_right(MODEL_KEYS):
        with found.noting():
            base = _check_base(config, found)
    job = Job(config)
    is_here = _local_data(config, found)
    if base.tokenizer is not None and is_here:
        for name in is_here:
            with found.noting():
                getattr(job, name).tokens(base.tokenizer)
    if found.are_right({"output_dir"}):
        with found.noting():
            _check_members(config, found, job if "train" in is_here else None, base)
        with found.noting():
            _check_interrupted(config, found, job if len(is_here) == 2 else None, base)


def _check_base(config: Config, found: CheckList) -> _Base:
    folder = base_folder(config, weights=False)
    base = _Base()
    with found.noting():
        base.tokenizer = load_tokenizer(folder)
    if base.tokenizer is not None and config.class_names != FROM_DATA and found.are_right(ANSWER_KEYS):
        with found.noting():
            head_kind_of(folder, answer_token_ids(config, base.tokenizer), bf16=config.use_bf16)
    skeleton = load_skeleton(folder, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model)
    _check_adapted(config, skeleton, found)
    with found.noting():
        is_local = is_gguf(folder) or local_folder(config.model_name) is not None
        if is_local or any((folder / name).exists() for name in (WEIGHTS, INDEX)):
            check_weights(folder, skeleton)
            known = RunFolder(config.output_dir).record().get("base_files") if found.are_right({"output_dir"}) else None
            base.digest = digest_of(base_files(folder, known, templated=config.chat_template))
        else:
            found.not_checked.append(f"weights of {config.model_name}: not downloaded yet")
    settings: Any = skeleton.config.get_text_config()
    layers = counted(settings.num_hidden_layers, "layer")
    found.facts["model"] = f"{settings.model_type}, {layers} of width {settings.hidden_size}"
    return base


def _check_adapted(config: Config, skeleton: PreTrainedModel, found: CheckList) -> None:
    for layers in (config.lora_layers, None):  # what hides behind a layer that is not there comes out without it
        with found.noting():
            adapted_modules(skeleton, config.lora_target_modules, layers)


def _local_data(config: Config, found: CheckList) -> list[str]:
    """Return which of the configuration's own sets can be read without a hub, and read well."""
    if not found.are_right(DATA_KEYS) or "unusable" in found.facts.values() or "members" not in found.facts:
        return []
    is_remote = {"train": config.train_file is None, "validation": config.validation_file is None}
    return [name for name, named in is_remote.items() if not named or not find_dataset(config.dataset).is_remote]


def _check_members(config: Config, found: CheckList, job: Job | None, base: _Base) -> None:
    """Check that the members in the run folder were made as this configuration makes them."""
    folder = RunFolder(config.output_dir)
    members = folder.members()
    if not members:
        return
    found.facts["members_finished"] = len(members)
    if title_of(folder):  # which no training made
        return
    if config.class_names == FROM_DATA:
        found.not_checked.append("settings of the finished members: the classes of the data are not known")
        return
    digests = None
    if job is not None and base.digest is not None:
        digests = Digests(data=job.train.digest, base=base.digest)
    else:
        found.not_checked.append("data and base of the finished members; their settings are compared")
    check_same_making(folder, members, config, digests=digests)


def _check_interrupted(config: Config, found: CheckList, job: Job | None, base: _Base) -> None:
    """Say that an interrupted training is there, and check that it can go on."""
    folder = RunFolder(config.output_dir)
    kept, groups = folder.kept_steps(), interrupted(folder.record())
    if not kept or groups is None or not config.resume:
        return
    check_nothing_is_lost(groups, config)
    told = {group: kept.get(folder.group_checkpoints(group[0]).name) for group in groups.seeds if group}
    found.facts["interrupted_training"] = "; ".join(
        f"{counted(len(group), 'member')} ({enumerated(list(map(str, group)))}) up to step {step:,}"
        for group, step in told.items()
        if step is not None
    )
    if job is None or base.digest is None or config.class_names == FROM_DATA:
        found.not_checked.append("whether the interrupted training goes on: data or base are not here")
        return
    device = devices_of(config.device, num_gpus=config.num_gpus)[0]
    for group in told:
        making = making_of(group, config, job=job, base_digest=base.digest, device=device)
        with found.noting():
            Checkpoints(folder=folder.group_checkpoints(group[0]), making=making).check()
