"""The members that share one device: load, train jointly, save. Data and settings in, outcomes and folders out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prepare import load_validation, tokenize
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder, load_tokenizer
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData, train_ensemble
from ensemble_uq_llm.training.event_log import EventLog
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.making import lora_settings
from ensemble_uq_llm.training.member_record import Digests
from ensemble_uq_llm.training.outcome import MemberOutcome
from ensemble_uq_llm.training.save import save_members


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What members are made from: the folder of the base's files, the training examples, and the digests of both."""

    base: Path
    examples: list[Example]
    digests: Digests


def train_group(
    config: Config,
    seeds: Sequence[int],
    *,
    source: Source,
    device: torch.device,
    listeners: Sequence[Listener] = (),
) -> list[MemberOutcome]:
    """Train these members on one device and save those that did not diverge; the outcomes are in the seeds' order.

    Raises:
        ConfigError, ModelError, DataError: nothing was trained or written.
    """
    tokenizer = load_tokenizer(source.base)
    data = TrainingData(
        train=tokenize(config, source.examples, tokenizer),
        validation=tokenize(config, load_validation(config), tokenizer),
    )
    decoder = load_decoder(source.base, device=device, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model)
    ensemble = StackedEnsemble(
        decoder,
        spec=spec_of(lora_settings(config), decoder, classes=config.num_labels),
        members=trained(seeds),
    )
    folder = RunFolder(config.output_dir)
    folder.root.mkdir(parents=True, exist_ok=True)
    with folder.events.open("a", encoding="utf-8") as stream:
        outcomes = train_ensemble(ensemble, data, config, listeners=[EventLog(stream), *listeners])
    save_members(ensemble, outcomes, folder, config=config, digests=source.digests)
    return outcomes
