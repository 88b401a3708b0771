"""Members over devices: each device trains its share, with several devices in processes of their own.

A member is its seed, so nothing depends on how the members are spread. A share whose process dies takes no other
share with it.
"""

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import EnsembleUQError, InterruptedRunError, MembersFailedError, StorageError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, naming_memory
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.epochs import TrainingData, train_epochs
from ensemble_uq_llm.training.events import Event, Keeping, Listener, MembersLost, Started
from ensemble_uq_llm.training.from_config import lora_settings
from ensemble_uq_llm.training.keeping.checkpoints import Checkpoints, CheckpointWriter
from ensemble_uq_llm.training.outcomes import Digests, LostMembers, MemberOutcome, save_members
from ensemble_uq_llm.training.planning.room import check_space
from ensemble_uq_llm.training.state import new_state

_READY: Final = "ready"
"""A worker's first word: until it has started, nothing large is sent to it."""

_STOPPED: Final = "stopped"
"""A worker's last word where it was asked to stop, and has kept how far it was."""

_HEARD: Final = "heard"
"""The parent's answer where a worker is about to keep its state: what it has told before is on disk."""

_PATIENCE: Final = 0.2
"""Seconds until the parent looks whether it was asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The members that one device trains, and what they are made from: tokens, and the folder of the base's files."""

    config: Config
    seeds: tuple[int, ...]
    device: torch.device
    base: Path
    data: TrainingData
    digests: Digests
    group: int = 0
    """The number of the members' group in the training, which its events bear."""
    checkpoints: Checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """A process that trains a share, our end of the pipe to it, and one by which it is asked to stop.

    A worker ends with the latter: the system closes it when we die, however we die.
    """

    share: Share
    process: BaseProcess
    channel: Connection
    leash: Connection


def train_shares(
    shares: Sequence[Share], *, listeners: Sequence[Listener] = ()
) -> tuple[list[MemberOutcome], list[LostMembers]]:
    """Train and save the members of all shares; returns what became of the members, and those of workers that failed.

    One share is trained in this process, several in a process each; `listeners` hear of all of them, here.

    Raises:
        ConfigError, ModelError: the only share failed; nothing of it was trained or written.
        StopRequested: somebody asked for it; every share has kept how far it was.
    """
    if len(shares) == 1:
        [share] = shares
        return train_share(share, listeners=[partial(_tell, share=share, listeners=listeners, groups=1)]), []
    workers: list[_Worker] = []
    try:
        for share in shares:
            workers.append(_start(share))
        with stop.held_back():
            return _results(workers, listeners)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.channel.close()
            worker.leash.close()


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
        spec=spec_of(lora_settings(config), decoder, classes=config.num_labels),
        members=trained(share.seeds),
    )
    state = new_state(ensemble, config, steps=config.optimizer_steps(len(share.data.train)))
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
        save_members(ensemble, state.outcomes, RunFolder(config.output_dir), config=config, digests=share.digests)
    except (stop.StopRequested, StorageError):
        writer.keep()
        raise
    checkpoints.clear()
    return state.outcomes


def _work(channel: Connection, leash: Connection) -> None:
    """Be a worker: say so, take a share and a number of threads, give events, then the outcomes or an error."""

    def tell(event: Event) -> None:
        channel.send(event)
        if isinstance(event, Keeping):
            channel.recv()

    with stop.listening():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
        threading.Thread(target=_obey, args=(leash,), daemon=True).start()
        try:
            channel.send(_READY)
            share, threads = channel.recv()
            torch.set_num_threads(threads)
            outcomes = train_share(share, listeners=[tell])
            with stop.held_back():
                channel.send(outcomes)
        except stop.StopRequested:
            channel.send(_STOPPED)
        except EnsembleUQError as error:
            channel.send(error)
        except Exception as error:
            channel.send(MembersFailedError(f"{type(error).__name__}: {error} (its traceback is above)"))
            raise


def _obey(leash: Connection) -> None:
    """Stop when the parent says so; where it is gone there is nobody to work for."""
    try:
        while True:
            stop.request(leash.recv())
    except (EOFError, OSError):
        os._exit(InterruptedRunError.exit_code)


def _context() -> ForkServerContext | SpawnContext:
    """Return how processes start: as forks of a server that has imported all of this once, where there is such a one.

    A fork of the caller would not do: it may have used a GPU, or threads.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start(share: Share) -> _Worker:
    context = _context()
    ours, theirs = context.Pipe()
    pulled, leash = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, pulled), name=f"training of group {share.group}", daemon=True)
    # Who asks this whole group of processes to stop must not kill a worker, or its server, that is not listening yet.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()  # so that ours ends when the process does
    pulled.close()
    return _Worker(share=share, process=process, channel=ours, leash=leash)


def _results(
    workers: Sequence[_Worker], listeners: Sequence[Listener]
) -> tuple[list[MemberOutcome], list[LostMembers]]:
    """Give the workers their shares and pass their events on, until every one has given its outcomes or failed.

    Raises:
        StopRequested: a worker alone was asked to stop, so all were.
    """
    outcomes: list[MemberOutcome] = []
    lost: list[LostMembers] = []
    running, stopping, threads = list(workers), "", max(1, torch.get_num_threads() // len(workers))
    while running:
        ready = wait([worker.channel for worker in running], timeout=_PATIENCE)
        if not stopping and (stopping := stop.requested() or ""):
            _ask_to_stop(running, stopping)
        for worker in [each for each in running if each.channel in ready]:
            match message := _next_message(worker):
                case "ready":
                    _send(worker, (worker.share, threads))
                case Event():
                    _tell(message, share=worker.share, listeners=listeners, groups=len(workers))
                    if isinstance(message, Keeping):
                        _send(worker, _HEARD)
                case "stopped":
                    running.remove(worker)
                    if not stopping:
                        stopping = "a signal to a worker"
                        _ask_to_stop(running, "SIGTERM")
                case list():
                    outcomes += message
                    running.remove(worker)
                case EnsembleUQError() | None:
                    lost.append(_lost(worker, message))
                    running.remove(worker)
                    reason = MembersLost(seeds=worker.share.seeds, device=lost[-1].device, reason=str(lost[-1].error))
                    _tell(reason, share=worker.share, listeners=listeners, groups=len(workers))
    if stopping:
        raise stop.StopRequested(stopping)
    return outcomes, lost


def _ask_to_stop(workers: Sequence[_Worker], name: str) -> None:
    for worker in workers:
        with suppress(OSError):  # it has died since
            worker.leash.send(name)


def _next_message(worker: _Worker) -> str | Event | list[MemberOutcome] | EnsembleUQError | None:
    """Return what the worker says next; None where it died without a word."""
    try:
        message: str | Event | list[MemberOutcome] | EnsembleUQError = worker.channel.recv()
    except (EOFError, OSError):
        return None
    return message


def _send(worker: _Worker, message: object) -> None:
    with suppress(OSError):  # it has died since, and its pipe has ended, as `_next_message` will find
        worker.channel.send(message)


def _tell(event: Event, *, share: Share, listeners: Sequence[Listener], groups: int) -> None:
    event = replace(event, group=share.group)
    if isinstance(event, Started):
        event = replace(event, groups=groups)
    for listener in listeners:
        listener(event)


def _lost(worker: _Worker, error: EnsembleUQError | None) -> LostMembers:
    worker.process.join()
    code = worker.process.exitcode or 0
    if error is None and code < 0:
        why = ", as the system does where memory runs out" if code == -signal.SIGKILL else ""
        error = MembersFailedError(f"its process was ended by {signal.Signals(-code).name}{why}")
    elif error is None:
        error = MembersFailedError(
            f"its process ended by itself with exit code {code}; what it printed says why. A script that trains on "
            'several devices must do so under `if __name__ == "__main__":`'
        )
    return LostMembers(seeds=worker.share.seeds, device=str(worker.share.device), error=error)
