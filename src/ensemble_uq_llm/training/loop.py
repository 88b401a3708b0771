"""The main path of training: read this file first, then `launch.py`, `epochs.py`, `step.py` and `state.py`.

`train` is the whole job: which members are missing, training them, and the run's record.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.check import warn_if_warmup_outlasts
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import base_digest, load_tokenizer
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import EventLog, Listener
from ensemble_uq_llm.training.from_config import base_folder
from ensemble_uq_llm.training.launch import Share, spread, train_shares
from ensemble_uq_llm.training.outcomes import Digests, check_same_making, raise_if_any_failed
from ensemble_uq_llm.utils.device import describe_device, devices_of
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.provenance import record_stage


def train(config: Config, *, job: Job | None = None, listeners: Sequence[Listener] = ()) -> RunFolder:
    """Train the members that the run folder lacks, jointly, and save each as a PEFT adapter folder.

    A member is its seed: training some now and others later gives what training all at once gives. `job` holds the
    configuration's data where other stages use them too.

    Raises:
        ConfigError, ModelError, DataError: nothing was trained; the message says what to change.
        MembersFailedError: some members diverged, or their process died; the others are saved.
    """
    started = time.monotonic()
    folder = RunFolder(config.output_dir)
    job = job or Job(config)
    warn_if_warmup_outlasts(config, len(job.train.examples))
    base = base_folder(config)
    digests = Digests(data=job.train.digest, base=base_digest(base))
    finished = folder.members()
    check_same_making(folder, finished, config, digests=digests)
    missing = [seed for seed in config.member_seeds if MemberId(seed) not in finished]
    if not missing:
        return folder

    repeats = asdict(job.repeats)  # a look at the texts warns, and is worth more before training than after it
    shares = _shares(config, missing, job=job, base=base, digests=digests)
    outcomes, lost = train_shares(shares, listeners=[EventLog(folder.events), *listeners])
    if outcomes:
        write_text(folder.config, config_to_yaml(with_absolute_paths(config)))
        record_stage(
            folder.run_record,
            "train",
            seconds=time.monotonic() - started,
            seeds=[seed for seed in missing if seed in {outcome.seed for outcome in outcomes}],
            examples=len(job.train.examples),
            devices=[describe_device(share.device) for share in shares],
            repeated_texts=repeats,
            data_digest=digests.data,
            base_digest=digests.base,
        )
    raise_if_any_failed(outcomes, lost, config)
    return folder


def _shares(config: Config, seeds: Sequence[int], *, job: Job, base: Path, digests: Digests) -> list[Share]:
    tokenizer = load_tokenizer(base)
    data = TrainingData(train=job.train.tokens(tokenizer), validation=job.validation.tokens(tokenizer))
    devices = devices_of(config.device, num_gpus=config.num_gpus)
    return [
        Share(config=config, seeds=own, device=device, base=base, data=data, digests=digests)
        for own, device in zip(spread(seeds, len(devices)), devices, strict=False)
    ]
