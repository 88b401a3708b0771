"""The main path of training: read this file first, then `launch.py`, `share.py`, `epochs.py`, `step.py` and `state.py`.

`train` is the whole job: which members are missing, training them, and the run's record.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.data.check import warn_if_warmup_outlasts
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.prepare import class_weights
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.models.base_files import BaseFiles, base_files, digest_of
from ensemble_uq_llm.models.tokenizer import BaseTokenizer
from ensemble_uq_llm.run_folder import ANSWER_TOKENS, RunFolder
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import Event, EventLog, Listener
from ensemble_uq_llm.training.from_config import base_folder
from ensemble_uq_llm.training.keeping.checkpoints import Checkpoints, clear_all
from ensemble_uq_llm.training.keeping.groups import TRAINING, Groups, check_nothing_is_lost, interrupted
from ensemble_uq_llm.training.keeping.made_with import making_of
from ensemble_uq_llm.training.launch import train_shares
from ensemble_uq_llm.training.listeners.trackers import tracker_of
from ensemble_uq_llm.training.outcomes import (
    Digests,
    LostMembers,
    MemberOutcome,
    check_same_making,
    failures,
    raise_if_any_failed,
)
from ensemble_uq_llm.training.planning.room import check_places
from ensemble_uq_llm.training.share import Share
from ensemble_uq_llm.utils.device import describe_device, devices_of
from ensemble_uq_llm.utils.files import write_json, write_text
from ensemble_uq_llm.utils.provenance import with_stage


def train(config: Config, *, job: Job | None = None, listeners: Sequence[Listener] = ()) -> RunFolder:
    """Train the members that the run folder lacks, jointly, and save each as a PEFT adapter folder.

    A member is its seed: training some now and others later gives what training all at once gives. A training that was
    interrupted goes on where it was; what was added since is trained after it. `job` holds the configuration's data
    where other stages use them too.

    Raises:
        ConfigError, ModelError, DataError: nothing was trained; the message says what to change.
        MembersFailedError: some members diverged, or their process died; the others are saved.
        StopRequested: somebody asked for it (Ctrl-C, SIGTERM, SIGHUP); the same call goes on from there.
    """
    folder = RunFolder(config.output_dir)
    with stop.listening(), folder.owned("train"):
        folder.check_manifest()
        job = job or Job(config)
        warn_if_warmup_outlasts(config, len(job.train.examples))
        base = base_folder(config)
        files = base_files(base, folder.record().get("base_files"), templated=config.chat_template)
        digests = Digests(data=job.train.digest, base=digest_of(files))
        finished = folder.members()
        check_same_making(folder, finished, config, digests=digests)
        missing = [seed for seed in config.member_seeds if MemberId(seed) not in finished]
        check_places(folder, missing)
        training = _Training(
            config=config, folder=folder, missing=missing, job=job, base=base, base_files=files, digests=digests
        )
        if not missing:
            training.complete()
        if not config.resume:
            clear_all(folder.checkpoints)
        outcomes: list[MemberOutcome] = []
        lost: list[LostMembers] = []
        for groups in training.rounds():
            trained, lost = training.train(groups, listeners)
            outcomes += trained
            if lost:  # what is kept of them is gone on with before any others begin
                break
        raise_if_any_failed(outcomes, lost, config)
        clear_all(folder.checkpoints)
    return folder


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What the missing members of a run are trained from, and how that is recorded."""

    config: Config
    folder: RunFolder
    missing: Sequence[int]
    job: Job
    base: Path
    base_files: BaseFiles
    digests: Digests

    @cached_property
    def _tokenizer(self) -> BaseTokenizer:
        return load_tokenizer(self.base)

    @cached_property
    def _answer_tokens(self) -> tuple[int, ...] | None:
        return answer_token_ids(self.config, self._tokenizer)

    def rounds(self) -> Iterator[Groups]:
        """Yield the groups of the training that was interrupted, if one was, then those of the members beside it.

        Raises:
            ConfigError: members of a group of which something is kept are not asked for any more.
        """
        before = interrupted(self.folder.record()) if self.config.resume else None
        begun: set[int] = set()
        if before is not None:
            check_nothing_is_lost(before, self.config)
            begun = {seed for group in before.numbered(self.missing).values() for seed in group}
            begun = begun if begun <= set(self.config.member_seeds) else set()  # of which nothing is kept
        if before is not None and begun:
            yield before
        if rest := [seed for seed in self.missing if seed not in begun]:
            yield Groups.new(rest, len(devices_of(self.config.device, num_gpus=self.config.num_gpus)))

    def train(self, groups: Groups, listeners: Sequence[Listener]) -> tuple[list[MemberOutcome], list[LostMembers]]:
        """Train groups of members side by side, record what became of them, and return it."""
        started = time.monotonic()
        repeats = asdict(self.job.repeats)  # a look at the texts warns, and is worth more before training than after it
        with tracker_of(self.config) or nullcontext() as tracker:
            shares = self._shares(groups)
            for share in shares:
                share.checkpoints.sweep()
                share.checkpoints.check()  # what cannot go on is refused before any work
            own: list[Listener] = [tracker] if tracker is not None else []
            opening, log = _Opening(self, groups), EventLog(self.folder.events, run=groups.id)
            outcomes, lost = train_shares(shares, listeners=[*own, opening, log, *listeners])
        saved = {member.seed for member in self.folder.members()}
        record = with_stage(
            self.folder.record(),
            "train",
            seconds=time.monotonic() - started,
            seeds=[each.seed for each in outcomes if each.seed in self.missing and each.seed in saved],
            examples=len(self.job.train.examples),
            cut=self.job.train.tokens(self._tokenizer).num_cut,
            devices=[describe_device(share.device) for share in shares],
            repeated_texts=repeats,
            data_digest=self.digests.data,
            base_digest=self.digests.base,
            **self._kept_epochs(outcomes),
        )
        self._close(record, failures(outcomes, lost), left=self._left(groups, lost))
        return outcomes, lost

    def _kept_epochs(self, outcomes: Sequence[MemberOutcome]) -> dict[str, Any]:
        return {"kept_epochs": {each.seed: each.kept_epoch for each in outcomes}} if self.config.keep == "best" else {}

    def _left(self, groups: Groups, lost: Iterable[LostMembers]) -> Groups | None:
        """Return the groups whose process was lost, and of which something is kept to go on from."""
        seeds = [seed for each in lost for seed in each.seeds if self.folder.group_checkpoints(each.seeds[0]).is_dir()]
        return groups.only(seeds)

    def open(self, groups: Groups) -> None:
        """Write the configuration, and in the record that training is under way, and in which groups."""
        record = self.folder.record() | {"state": TRAINING, TRAINING: groups.as_json(), "base_files": self.base_files}
        if self._answer_tokens is not None:
            record[ANSWER_TOKENS] = list(self._answer_tokens)
        with self.folder.change() as change:
            change.forget(self.folder.events)
            write_json(RunFolder(change.root).run_record, record)
            write_text(RunFolder(change.root).config, self._own_yaml())

    def complete(self) -> None:
        """Make up for what a crash after the last member has left unwritten."""
        record = self.folder.record()
        if record.get("state") == TRAINING or not (self.folder.run_record.exists() and self.folder.config.exists()):
            self._close(record, {})

    def _close(self, record: Mapping[str, Any], failed: Mapping[str, str], left: Groups | None = None) -> None:
        """Write what a run's record says once training is over: the members there are, those that failed, and why.

        `left` is what of it was lost, and can go on.
        """
        members = [member.folder_name for member in self.folder.members()]
        reasons = {**(record.get("failed") or {}), **failed}
        finished = {key: value for key, value in record.items() if key != TRAINING}
        finished |= {"state": "finished", "members": members, "base_files": self.base_files}
        finished |= {} if left is None else {TRAINING: left.as_json()}
        finished["failed"] = {name: why for name, why in reasons.items() if name not in members}
        with self.folder.change() as change:
            change.adopt(self.folder.events)
            write_json(RunFolder(change.root).run_record, finished)
            if not self.folder.config.exists():
                write_text(RunFolder(change.root).config, self._own_yaml())

    def _own_yaml(self) -> str:
        return config_to_yaml(with_absolute_paths(self.config))

    def _shares(self, groups: Groups) -> list[Share]:
        config, tokenizer = self.config, self._tokenizer
        stopping = self.job.stopping
        data = TrainingData(
            train=self.job.train.tokens(tokenizer),
            validation=self.job.validation.tokens(tokenizer) if config.validate_epochs else None,
            stopping=None if stopping is None else stopping.tokens(tokenizer),
            class_weights=class_weights(config, self.job.train.examples),
        )
        devices = devices_of(config.device, num_gpus=config.num_gpus)
        return [
            Share(
                config=config,
                seeds=tuple(seeds),
                device=device,
                base=self.base,
                data=data,
                answer_tokens=self._answer_tokens,
                digests=self.digests,
                group=number,
                checkpoints=Checkpoints(
                    folder=self.folder.group_checkpoints(seeds[0]),
                    making=making_of(seeds, config, job=self.job, base_digest=self.digests.base, device=device),
                ),
            )
            for (number, seeds), device in zip(groups.numbered(self.missing).items(), cycle(devices), strict=False)
        ]


class _Opening:
    """A listener that makes the folder a run when the first thing happens, so that whatever comes, it can be opened."""

    def __init__(self, training: _Training, groups: Groups) -> None:
        self._training, self._groups = training, groups
        self._is_open = False

    def __call__(self, event: Event) -> None:
        """Open the run once."""
        if not self._is_open:
            self._is_open = True
            self._training.open(self._groups)
