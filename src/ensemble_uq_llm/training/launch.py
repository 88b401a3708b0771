"""Shares over devices: one is trained in this process, several in processes of their own.

A member is its seed, so nothing depends on how the members are spread. A share whose process dies takes no other
share with it.
"""

import os
import signal
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Final

import torch

from ensemble_uq_llm.errors import EnsembleUQError, InterruptedRunError, MembersFailedError, StorageError
from ensemble_uq_llm.outgoing.guarded_streams import guarding_streams
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.events import Ended, Event, Keeping, Listener, MembersLost, Started
from ensemble_uq_llm.training.outcomes import LostMembers, MemberOutcome
from ensemble_uq_llm.training.share import Share, train_share

_READY: Final = "ready"
"""A worker's first word: until it has started, nothing large is sent to it."""

_STOPPED: Final = "stopped"
"""A worker's last word where it was asked to stop, and has kept how far it was."""

_HEARD: Final = "heard"
"""The parent's answer where a worker is about to keep its state or members: what it has told before is on disk.
Otherwise the answer is the error."""

_PATIENCE: Final = 0.2
"""Seconds until the parent looks whether it was asked to stop."""


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


def _work(channel: Connection, leash: Connection) -> None:
    """Be a worker: say so, take a share and a number of threads, give events, then the outcomes or an error."""

    def say(message: object, *, until_heard: bool = False) -> None:
        answer: object = None
        try:
            channel.send(message)
            if until_heard:
                answer = channel.recv()
        except (EOFError, OSError):  # the parent is gone
            os._exit(InterruptedRunError.exit_code)
        if isinstance(answer, StorageError):
            raise answer

    def tell(event: Event) -> None:
        say(event, until_heard=isinstance(event, Keeping | Ended))

    with guarding_streams(), stop.listening():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
        threading.Thread(target=_obey, args=(leash,), daemon=True).start()
        try:
            say(_READY)
            share, threads = channel.recv()
            torch.set_num_threads(threads)
            outcomes = train_share(share, listeners=[tell])
            with stop.held_back():
                say(outcomes)
        except stop.StopRequested:
            say(_STOPPED)
        except EnsembleUQError as error:
            say(error)
        except Exception as error:
            traceback.print_exc()  # here, where no secret is shown, and not where the process ends
            say(MembersFailedError(f"{type(error).__name__}: {error} (its traceback is above)"))
            raise SystemExit(1) from error


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
                case Keeping() | Ended():
                    answer: str | StorageError = _HEARD
                    try:
                        _tell(message, share=worker.share, listeners=listeners, groups=len(workers))
                    except StorageError as error:  # the worker knows whether it can go on without
                        answer = error
                    _send(worker, answer)
                case Event():
                    _tell(message, share=worker.share, listeners=listeners, groups=len(workers))
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
