"""The main path of training: read this file first, then `launch.py`, `epochs.py`, `step.py` and `state.py`.

`train` is the whole job: which members are missing, training them, and the run's record.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.check import warn_if_warmup_outlasts
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.prepare import class_weights
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import base_digest, load_tokenizer
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import Event, EventLog, Listener
from ensemble_uq_llm.training.from_config import base_folder
from ensemble_uq_llm.training.launch import Share, spread, train_shares
from ensemble_uq_llm.training.listeners.trackers import tracker_of
from ensemble_uq_llm.training.outcomes import Digests, check_same_making, failures, raise_if_any_failed
from ensemble_uq_llm.utils.device import describe_device, devices_of
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.provenance import read_record, record_stage, record_state


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
    opening = _Opening(folder, config)
    if not missing:
        opening.complete()
        return folder

    repeats = asdict(job.repeats)  # a look at the texts warns, and is worth more before training than after it
    with tracker_of(config) or nullcontext() as tracker:
        shares = _shares(config, missing, job=job, base=base, digests=digests)
        own: list[Listener] = [tracker] if tracker is not None else []
        outcomes, lost = train_shares(shares, listeners=[*own, opening, EventLog(folder.events), *listeners])
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
        **({"kept_epochs": {each.seed: each.kept_epoch for each in outcomes}} if config.keep == "best" else {}),
    )
    record_state(folder.run_record, **_finished(folder, failures(outcomes, lost)))
    raise_if_any_failed(outcomes, lost, config)
    return folder


class _Opening:
    """A listener that makes the folder a run when the first thing happens, so that whatever comes, it can be opened."""

    def __init__(self, folder: RunFolder, config: Config) -> None:
        self._folder, self._config = folder, config
        self._is_open = False

    def __call__(self, event: Event) -> None:
        """Write the configuration, and in the record that training is under way."""
        if not self._is_open:
            self._is_open = True
            write_text(self._folder.config, config_to_yaml(with_absolute_paths(self._config)))
            record_state(self._folder.run_record, state="training")

    def complete(self) -> None:
        """Make up for what a crash after the last member has left unwritten."""
        if not self._folder.config.exists():
            write_text(self._folder.config, config_to_yaml(with_absolute_paths(self._config)))
        if read_record(self._folder.run_record).get("state") == "training" or not self._folder.run_record.exists():
            record_state(self._folder.run_record, **_finished(self._folder, {}))


def _finished(folder: RunFolder, failed: dict[str, str]) -> dict[str, Any]:
    """Return what a run's record says once training is over: the members there are, and those that are not, and why."""
    members = [member.folder_name for member in folder.members()]
    before = read_record(folder.run_record).get("failed") or {}
    still = {name: why for name, why in {**before, **failed}.items() if name not in members}
    return {"state": "finished", "members": members, "failed": still}


def _shares(config: Config, seeds: Sequence[int], *, job: Job, base: Path, digests: Digests) -> list[Share]:
    tokenizer = load_tokenizer(base)
    data = TrainingData(
        train=job.train.tokens(tokenizer),
        validation=job.validation.tokens(tokenizer),
        stopping=None if job.stopping is None else job.stopping.tokens(tokenizer),
        class_weights=class_weights(config, job.train.examples),
    )
    devices = devices_of(config.device, num_gpus=config.num_gpus)
    return [
        Share(config=config, seeds=own, device=device, base=base, data=data, digests=digests)
        for own, device in zip(spread(seeds, len(devices)), devices, strict=False)
    ]
