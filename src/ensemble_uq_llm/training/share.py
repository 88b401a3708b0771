"""One device's share of the members: what they are made from, and how they are trained and kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, naming_memory
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData, train_epochs
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.from_config import lora_settings
from ensemble_uq_llm.training.keeping.checkpoints import Checkpoints, CheckpointWriter
from ensemble_uq_llm.training.outcomes import Digests, MemberOutcome, save_members
from ensemble_uq_llm.training.planning.room import check_space
from ensemble_uq_llm.training.state import new_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The members that one device trains, and what they are made from: tokens, and the folder of the base's files."""

    config: Config
    seeds: tuple[int, ...]
    device: torch.device
    base: Path
    data: TrainingData
    answer_tokens: tuple[int, ...] | None = None
    """With the answer head, each class' token."""
    digests: Digests
    group: int = 0
    """The number of the members' group in the training, which its events bear."""
    checkpoints: Checkpoints


@naming_memory("training", FEWER_MEMBERS, "lower lora_r or max_length", "set use_bf16: true")
def train_share(share: Share, *, listeners: Sequence[Listener] = ()) -> list[MemberOutcome]:
    """Train one device's members and save those that did not diverge; the outcomes are in the seeds' order.

    Raises:
        ConfigError, ModelError: nothing was trained or written.
        StopRequested: somebody asked for it; what was trained is kept as a checkpoint.
    """
    config, checkpoints = share.config, share.checkpoints
    kept = checkpoints.newest()
    decoder = load_decoder(
        share.base, device=share.device, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model
    )
    ensemble = StackedEnsemble(
        decoder,
        spec=spec_of(
            lora_settings(config),
            decoder,
            classes=config.num_labels,
            head_kind=head_kind_of(share.base, share.answer_tokens, bf16=config.use_bf16),
        ),
        members=trained(share.seeds),
    )
    steps = share.data.steps_in_epoch(config.effective_batch_size) * config.num_epochs
    state = new_state(ensemble, config, steps=steps)
    if kept is not None:
        state.restore(kept)
    check_space(RunFolder(config.output_dir), state, seeds=config.member_seeds)
    writer = CheckpointWriter(
        state=state,
        checkpoints=checkpoints,
        every_steps=config.checkpoint_steps,
        every_seconds=60 * config.checkpoint_minutes,
        listeners=listeners,
    )
    try:
        train_epochs(state, share.data, config, listeners=[*listeners, writer])
        folder = RunFolder(config.output_dir)
        save_members(ensemble, state.outcomes, folder, config=config, digests=share.digests, bags=share.data.bags)
    except (stop.StopRequested, StorageError):
        writer.keep()
        raise
    checkpoints.clear()
    return state.outcomes
