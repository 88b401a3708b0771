"""Finished members from disk onto one base: those of a run, or PEFT adapter folders made anywhere."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ensemble_uq_llm.config import EMBEDDED_MODEL, Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.member import MemberId, member_of_folder
from ensemble_uq_llm.models.base import find_base, load_decoder, load_tokenizer
from ensemble_uq_llm.models.base_files import base_files, differing, digest_of, path_of
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.head import HeadKind
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, Adapter, adapter_of, ensemble_of, read_adapter
from ensemble_uq_llm.models.memory import naming_memory, token_budget
from ensemble_uq_llm.predictions.freshness import absent_members, check_same_scale, warn_of_absent_members
from ensemble_uq_llm.predictions.origin import scale_of
from ensemble_uq_llm.predictions.zero_shot_config import ZERO_SHOT, is_zero_shot
from ensemble_uq_llm.run_folder import ANSWER_TOKENS, RunFolder
from ensemble_uq_llm.samples.posterior_record import posterior_of, warn_of_few
from ensemble_uq_llm.utils.device import devices_of
from ensemble_uq_llm.utils.files import expanded, sha256_of, write_text


@dataclass(frozen=True, kw_only=True)
class LoadedEnsemble:
    """Members ready to predict: the stack, its tokenizer, the tokens of a pass, and where all of it comes from."""

    ensemble: StackedEnsemble
    tokenizer: Any
    answer_tokens: tuple[int, ...] | None
    """With the answer head, each class' token."""
    budget: int
    base: Path
    """The folder of the base's files."""
    base_digest: str
    """The digest of them."""
    weights: Mapping[str, str]
    """The SHA-256 of every member's weights, by the name of its folder in a run."""
    scales: Mapping[str, Mapping[str, Any]]
    """What every member's weights are multiplied by, likewise."""
    dropouts: Sequence[float]
    """The dropout that each member was trained with, in the order of the stack."""
    foreign: bool
    """Whether the members are not the run's own: given as adapter folders, or the base by itself."""


@naming_memory("the members", "set use_bf16: true", "use fewer members (num_ensemble_models)")
def load_members(config: Config, *, adapters: Sequence[Path] = ()) -> LoadedEnsemble:
    """Load the run's finished members, or the given adapter folders instead, over one copy of the base.

    Warns of members of the configuration that are not there, and of adapters that name another base: their numbers may
    fit it and mean nothing on this one.

    Raises:
        ConfigError: no member of the configuration is trained; ModelError: the base cannot be had.
        IntegrityError: an adapter or the base was altered after training, or they do not fit each other or the classes.
    """
    run = RunFolder(config.output_dir)
    records = {} if adapters else _own(config)
    folders = _foreign(adapters) if adapters else {member: run.member(member) for member in records}
    base = base_of(config)
    digest = _checked_base(run, base, records, templated=config.chat_template)  # before anything reads it
    tokenizer = load_tokenizer(base)
    tokens = answer_token_ids(config, tokenizer)
    if records:
        _check_same_answers(run, tokens)
    kind = head_kind_of(base, tokens, bf16=config.use_bf16, tells_rest=config.answer_mass)
    adapters_read = [
        _own_adapter(run, member, kind) if member in records else read_adapter(folder, head_kind=kind)
        for member, folder in folders.items()
    ]
    for each in adapters_read:
        if each.classes != config.num_labels:
            raise IntegrityError(
                f"{each.folder}: its head has {each.classes} classes, and num_labels is {config.num_labels}"
            )
    _warn_of_other_bases(adapters_read, config.model_name, base)
    decoder, budget = load_base(config, base)
    return LoadedEnsemble(
        ensemble=ensemble_of(decoder, adapters_read, members=list(folders)).eval(),
        tokenizer=tokenizer,
        answer_tokens=tokens,
        budget=budget,
        base=base,
        base_digest=digest,
        weights={member.folder_name: sha256_of(folder / WEIGHTS) for member, folder in folders.items()},
        scales={m.folder_name: scale_of(each.settings) for m, each in zip(folders, adapters_read, strict=True)},
        dropouts=[float(each.settings.get("lora_dropout") or 0) for each in adapters_read],
        foreign=bool(adapters),
    )


def base_of(config: Config) -> Path:
    """Return where the configured base is; see `models.base.find_base`."""
    return find_base(config.model_name, revision=config.model_revision, cache_dir=config.cache_dir)


def load_base(config: Config, base: Path) -> tuple[PreTrainedModel, int]:
    """Return a base's decoder on the first of the configured devices, and how many tokens a pass may have there.

    Raises:
        ModelError: as `models.base.load_decoder`.
    """
    device = devices_of(config.device, num_gpus=config.num_gpus)[0]
    decoder = load_decoder(base, device=device, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model)
    return decoder, token_budget(decoder, wanted=config.tokens_per_pass, training=False, device=device)


def _own(config: Config) -> dict[MemberId, dict[str, Any]]:
    """Return the records of the configured seeds' members, with every sample that there is of each.

    Warns of those that are not there, such as members that diverged.
    """
    folder = RunFolder(config.output_dir)
    folder.check_members(config.member_seeds)
    members = folder.members_of(config.member_seeds)
    if not members:
        if is_zero_shot(folder):
            raise ConfigError(f"{folder.root}: holds a zero-shot baseline and no members; ask it with --zero-shot")
        raise ConfigError(
            f"{folder.root}: no finished member for {absent_members(folder, config.member_seeds)}; train first"
        )
    warn_of_absent_members(folder, config.member_seeds)
    if posterior := posterior_of(folder.record()):
        warn_of_few(folder.root, posterior)
    records = {
        member: folder.read_object(folder.member_record(member), remedy=_remedy(folder, member)) for member in members
    }
    for member, record in records.items():
        check_same_scale(folder, member, record)
    return records


def _checked_base(
    folder: RunFolder, base: Path, records: Mapping[MemberId, Mapping[str, Any]], *, templated: bool
) -> str:
    """Return the digest of the base's files, which are those that the members were trained on.

    Files whose size and times are those on record are not read.

    Raises:
        IntegrityError: another base, or an altered one; the message names a file that differs, where that is known.
    """
    known = folder.record().get("base_files")
    files = base_files(base, known, templated=templated)
    digest = digest_of(files)
    for member, record in records.items():
        if record.get("base_digest", digest) != digest:
            differs = differing(files, known) if known else {}
            name, how = next(iter(differs.items()), ("", "not the base"))
            raise IntegrityError(
                f"{path_of(base, name)}: {how}, as {member.title} was trained on another; put that back (model_name), "
                "or train on this one in another output_dir"
            )
    return digest


def begin_given(config: Config) -> None:
    """Write the configuration into a folder where only given adapters predict, so that it is evaluated as a run is.

    A folder of a run or of a zero-shot baseline has its own already, and keeps it.
    """
    folder = RunFolder(config.output_dir)
    if folder.members() or folder.record().keys() & {"state", ZERO_SHOT}:
        return
    with folder.change() as change:
        write_text(RunFolder(change.root).config, config_to_yaml(with_absolute_paths(config)))


def _foreign(adapters: Sequence[Path]) -> dict[MemberId, Path]:
    """Name adapter folders by their own names (`seed_42`); if any has none of that form, by 0, 1 ... in their order."""
    named = [member_of_folder(folder.name) for folder in adapters]
    known = [member for member in named if member is not None]
    if len(set(known)) < len(adapters):
        known = [MemberId(index) for index in range(len(adapters))]
    return dict(zip(known, adapters, strict=True))


def _warn_of_other_bases(adapters: Sequence[Adapter], model_name: str, base: Path) -> None:
    for adapter in adapters:
        named = adapter.settings.get("base_model_name_or_path")
        if isinstance(named, str) and named and not _is_same_base(named, model_name, base):
            warnings.warn(
                f"{adapter.folder}: made on the base {named!r}, and model_name is {model_name!r}; on another base than "
                "its own an adapter's answers mean nothing",
                stacklevel=3,
            )


def _is_same_base(named: str, model_name: str, base: Path) -> bool:
    """Compare two folders by their absolute paths, and names of which one is from the hub by their last part."""
    is_folder = model_name == EMBEDDED_MODEL or expanded(Path(model_name)).exists()
    if model_name == EMBEDDED_MODEL and (named == EMBEDDED_MODEL or Path(named).parts[-3:] == base.parts[-3:]):
        return True  # wherever this package is installed
    if is_folder and Path(named).is_absolute():
        return Path(named).resolve() == base.resolve()
    return Path(named).name.lower() == (base.resolve().name if is_folder else model_name.rpartition("/")[2]).lower()


def _check_same_answers(folder: RunFolder, tokens: Sequence[int] | None) -> None:
    """Refuse to let members answer by other tokens than those that they were trained with.

    Raises:
        ConfigError: the configuration's prompt or answers give others now.
    """
    recorded = folder.record().get(ANSWER_TOKENS)
    if recorded is not None and tokens is not None and recorded != list(tokens):
        raise ConfigError(
            f"answers: their tokens are {list(tokens)} now, and the members of {folder.root} were trained with "
            f"{recorded}; put back answers, class_names and prompt_template"
        )


def _own_adapter(folder: RunFolder, member: MemberId, head_kind: HeadKind) -> Adapter:
    """Return a member of the run, from the very bytes that were found to be those that training wrote.

    Raises:
        IntegrityError: a file of it is missing or altered.
    """
    paths = (folder.adapter_settings(member), folder.member_weights(member))
    try:
        settings, weights = (folder.read(path) for path in paths)
    except FileNotFoundError as error:
        raise IntegrityError(f"{error.filename}: there is no such file; {_remedy(folder, member)}") from None
    return adapter_of(folder.member(member), settings=settings, weights=weights, head_kind=head_kind)


def _remedy(folder: RunFolder, member: MemberId) -> str:
    return f"delete {folder.member(member)} and train again to get the member back"
