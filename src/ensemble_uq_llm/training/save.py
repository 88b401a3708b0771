"""Finished members to their folders, each whole or not at all, with the record of how it was made."""

from collections.abc import Sequence

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, write_adapter
from ensemble_uq_llm.run_folder import MEMBER_RECORD, RunFolder
from ensemble_uq_llm.training.making import base_name, lora_settings
from ensemble_uq_llm.training.member_record import Digests, MemberRecord, member_settings
from ensemble_uq_llm.training.outcome import MemberOutcome
from ensemble_uq_llm.utils.files import atomic_folder, sha256_of, write_json


def save_members(
    ensemble: StackedEnsemble,
    outcomes: Sequence[MemberOutcome],
    folder: RunFolder,
    *,
    config: Config,
    digests: Digests,
) -> None:
    """Write every member that did not diverge as a PEFT adapter folder.

    A member whose weights are not finite has diverged in its last step, and is noted as such.
    """
    base = base_name(config)
    for member, outcome in enumerate(outcomes):
        if outcome.diverged_at is None and not _is_finite(ensemble, member):
            outcome.diverged_at = outcome.steps
        if outcome.diverged_at is not None:
            continue
        with atomic_folder(folder.member(MemberId(outcome.seed))) as temporary:
            write_adapter(ensemble, member, temporary, settings=lora_settings(config), base=base)
            record = MemberRecord(
                seed=outcome.seed,
                settings=member_settings(config),
                data_digest=digests.data,
                base_digest=digests.base,
                weights_sha256=sha256_of(temporary / WEIGHTS),
                steps=outcome.steps,
                final_train_loss=outcome.loss,
                history=outcome.history,
            )
            write_json(temporary / MEMBER_RECORD, record.as_json())


def _is_finite(ensemble: StackedEnsemble, member: int) -> bool:
    return all(bool(torch.isfinite(stack[member]).all()) for stack in ensemble.trainable())
