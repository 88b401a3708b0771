"""The main path of training: read this file first, then `group.py`, `epochs.py` and `step.py`.

`train` is the whole job: which members are missing, training them, and the run's record.
"""

import time
from collections.abc import Sequence

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.check import warn_if_warmup_outlasts
from ensemble_uq_llm.data.prepare import digest_of, load_training
from ensemble_uq_llm.errors import MembersFailedError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import base_digest
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.group import Source
from ensemble_uq_llm.training.launch import train_on_devices
from ensemble_uq_llm.training.making import base_folder
from ensemble_uq_llm.training.member_record import Digests, check_same_making
from ensemble_uq_llm.training.outcome import MemberOutcome
from ensemble_uq_llm.utils.device import describe_device, devices_of
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.provenance import record_stage


def train(config: Config, *, listeners: Sequence[Listener] = ()) -> RunFolder:
    """Train the members that the run folder lacks, jointly, and save each as a PEFT adapter folder.

    A member is its seed: training some now and others later gives what training all at once gives.

    Raises:
        ConfigError, ModelError, DataError: nothing was trained; the message says what to change.
        MembersFailedError: some members diverged; the others are saved.
    """
    started = time.monotonic()
    folder = RunFolder(config.output_dir)
    examples = load_training(config).kept
    warn_if_warmup_outlasts(config, len(examples))
    base = base_folder(config)
    digests = Digests(data=digest_of(examples), base=base_digest(base))
    finished = folder.members()
    check_same_making(folder, finished, config, digests=digests)
    missing = [seed for seed in config.member_seeds if MemberId(seed) not in finished]
    if not missing:
        return folder

    devices = devices_of(config.device, num_gpus=config.num_gpus)
    source = Source(base=base, examples=examples, digests=digests)
    outcomes = train_on_devices(config, missing, source=source, devices=devices, listeners=listeners)
    write_text(folder.config, config_to_yaml(with_absolute_paths(config)))
    record_stage(
        folder.run_record,
        "train",
        seconds=time.monotonic() - started,
        seeds=missing,
        examples=len(examples),
        devices=[describe_device(device) for device in devices],
        data_digest=digests.data,
        base_digest=digests.base,
    )
    _raise_if_any_failed(outcomes, config)
    return folder


def _raise_if_any_failed(outcomes: Sequence[MemberOutcome], config: Config) -> None:
    failed = {outcome.seed: outcome.diverged_at for outcome in outcomes if outcome.diverged_at is not None}
    if not failed:
        return
    listing = ", ".join(f"seed {seed} at step {step}" for seed, step in failed.items())
    saved = (
        f"the other {len(outcomes) - len(failed)} are saved in {config.output_dir}"
        if len(failed) < len(outcomes)
        else "none is saved"
    )
    raise MembersFailedError(
        f"{len(failed)} of {len(outcomes)} members diverged ({listing}); {saved}. Lower learning_rate (now "
        f"{config.learning_rate:g}) or max_grad_norm (now {config.max_grad_norm:g}), in a new output_dir"
    )
