"""Finished members from disk onto one base: those of a run, or PEFT adapter folders made anywhere."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.models.adapters import WEIGHTS, ensemble_of, read_adapter
from ensemble_uq_llm.models.base import devices_of, find_base, load_decoder, load_tokenizer
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.passes import token_budget
from ensemble_uq_llm.run_folder import MEMBER_RECORD, RunFolder
from ensemble_uq_llm.utils.files import read_json, sha256_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEnsemble:
    """Members ready to predict: the stack, its tokenizer, and the tokens of a pass."""

    ensemble: StackedEnsemble
    tokenizer: Any
    budget: int


def load_members(config: Config, *, adapters: Sequence[Path] = ()) -> LoadedEnsemble:
    """Load the run's finished members, or the given adapter folders instead, over one copy of the base.

    Raises:
        ConfigError: a member of the configuration is not trained yet; ModelError: the base cannot be had.
        IntegrityError: an adapter was altered after training, or does not fit the base or the classes.
    """
    folders = dict(_foreign(adapters) if adapters else _own(config))
    members = [read_adapter(folder) for folder in folders.values()]
    for member in members:
        if member.head_CH.shape[0] != config.num_labels:
            raise IntegrityError(
                f"{member.folder}: its head has {member.head_CH.shape[0]} classes, and num_labels is "
                f"{config.num_labels}"
            )
    base = find_base(config)
    device = devices_of(config)[0]
    decoder = load_decoder(base, device=device, bf16=config.use_bf16)
    return LoadedEnsemble(
        ensemble=ensemble_of(decoder, members, seeds=list(folders)).eval(),
        tokenizer=load_tokenizer(base),
        budget=token_budget(decoder, wanted=config.tokens_per_pass, training=False, device=device),
    )


def _own(config: Config) -> dict[int, Path]:
    folder = RunFolder(config.output_dir)
    finished = set(folder.member_seeds())
    if missing := [seed for seed in config.member_seeds if seed not in finished]:
        raise ConfigError(
            f"{folder.root}: no finished member for seed {', '.join(map(str, missing))}; train first, or lower "
            "num_ensemble_models to what is there"
        )
    for seed in config.member_seeds:
        _check_unaltered(folder.member(seed))
    return {seed: folder.member(seed) for seed in config.member_seeds}


def _foreign(adapters: Sequence[Path]) -> dict[int, Path]:
    """Number adapter folders by the seed in their name (`seed_42`); if any has none, all from 0 in their order."""
    matches = [re.fullmatch(r"seed_(\d+)", folder.name) for folder in adapters]
    seeds = [int(match[1]) for match in matches if match]
    if len(set(seeds)) < len(adapters):
        seeds = list(range(len(adapters)))
    return dict(zip(seeds, adapters, strict=True))


def _check_unaltered(folder: Path) -> None:
    try:
        recorded = read_json(folder / MEMBER_RECORD).get("weights_sha256")
    except ValueError as error:
        raise IntegrityError(
            f"{folder / MEMBER_RECORD}: not a member's record ({error}); delete {folder} and train again"
        ) from None
    if recorded != sha256_of(folder / WEIGHTS):
        raise IntegrityError(
            f"{folder / WEIGHTS}: not the file that training wrote (its SHA-256 differs from {MEMBER_RECORD}'s); "
            f"delete {folder} and train again to get the member back"
        )
