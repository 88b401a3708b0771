"""The base as it is, without adapters, asked by the answer head: the baseline with which every table begins."""

from typing import Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.inference.members import LoadedEnsemble, base_of, load_base
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.models.base_files import base_files, digest_of
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.lora.spec import AdapterSpec
from ensemble_uq_llm.models.memory import naming_memory
from ensemble_uq_llm.predictions.zero_shot_config import ZERO_SHOT
from ensemble_uq_llm.run_folder import ANSWER_TOKENS, RunFolder
from ensemble_uq_llm.utils.files import write_json, write_text

THE_BASE: Final = MemberId(0)
"""As which its predictions are written: those of one member."""


@naming_memory("the base", "set use_bf16: true")
def load_zero_shot(config: Config) -> LoadedEnsemble:
    """Load the base with the answer head and without any adapter, as the only member.

    Raises:
        ConfigError: the answers are not one token each. ModelError: the base cannot be had, or has no LM head.
    """
    base = base_of(config)
    tokenizer = load_tokenizer(base)
    tokens = answer_token_ids(config, tokenizer)
    head_kind = head_kind_of(base, tokens, bf16=config.use_bf16, tells_rest=config.answer_mass)
    decoder, budget = load_base(config, base)
    nothing = AdapterSpec(rank=1, scaling=1.0, dropout=0.0, classes=config.num_labels, modules=(), head_kind=head_kind)
    return LoadedEnsemble(
        ensemble=StackedEnsemble(decoder, spec=nothing, members=(THE_BASE,)).eval(),
        tokenizer=tokenizer,
        answer_tokens=tokens,
        budget=budget,
        base=base,
        base_digest=digest_of(base_files(base)),
        weights={},
        scales={},
        dropouts=(),
        foreign=True,
    )


def begin_baseline(config: Config, loaded: LoadedEnsemble) -> None:
    """Make the folder of a baseline, or go on in it, so that all sets in it are answered by the same tokens.

    Raises:
        ConfigError: members were trained there, or sets were asked for other answers.
    """
    folder = RunFolder(config.output_dir)
    if folder.members():
        raise ConfigError(f"{folder.root}: holds trained members, and the base's own answers need this place; move it")
    record, tokens = folder.record(), list(loaded.answer_tokens or ())
    if (before := record.get(ANSWER_TOKENS, tokens)) != tokens:
        raise ConfigError(
            f"answers: their tokens are {tokens} now, and {folder.root} was asked for {before}; put back answers, "
            "class_names and prompt_template, or move that folder"
        )
    with folder.change() as change:
        new = RunFolder(change.root)
        write_text(new.config, config_to_yaml(with_absolute_paths(config)))
        write_json(new.run_record, {**record, ZERO_SHOT: True, ANSWER_TOKENS: tokens})
