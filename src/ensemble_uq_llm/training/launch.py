"""Members over devices: each device trains its share, with several devices in processes of their own.

A member is its seed, so nothing depends on how the members are spread. A share whose process dies takes no other
share with it.
"""

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import EnsembleUQError, MembersFailedError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.models.memory import FEWER_MEMBERS, naming_memory
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData, train_epochs
from ensemble_uq_llm.training.events import Event, Listener, MembersLost, Started
from ensemble_uq_llm.training.from_config import lora_settings
from ensemble_uq_llm.training.outcomes import Digests, LostMembers, MemberOutcome, save_members
from ensemble_uq_llm.training.state import new_state

_READY = "ready"
"""A worker's first word: until it has started, nothing large is sent to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The members that one device trains, and what they are made from: tokens, and the folder of the base's files."""

    config: Config
    seeds: tuple[int, ...]
    device: torch.device
    base: Path
    data: TrainingData
    digests: Digests


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """A process that trains the share of a group, and our end of the pipe to it."""

    group: int
    share: Share
    process: BaseProcess
    channel: Connection


def spread(seeds: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Return the seeds in at most so many shares whose sizes differ by one at most; no share is empty."""
    return [tuple(seeds[part::parts]) for part in range(min(parts, len(seeds)))]


def train_shares(
    shares: Sequence[Share], *, listeners: Sequence[Listener] = ()
) -> tuple[list[MemberOutcome], list[LostMembers]]:
    """Train and save the members of all shares; returns what became of the members, and those of workers that failed.

    One share is trained in this process, several in a process each; `listeners` hear of all of them, here.

    Raises:
        ConfigError, ModelError: the only share failed; nothing of it was trained or written.
    """
    if len(shares) == 1:
        return train_share(shares[0], listeners=listeners), []
    workers: list[_Worker] = []
    try:
        for group, share in enumerate(shares):
            workers.append(_start(group, share))
        return _results(workers, listeners)
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
            worker.channel.close()


@naming_memory("training", FEWER_MEMBERS, "lower lora_r or max_length", "set use_bf16: true")
def train_share(share: Share, *, listeners: Sequence[Listener] = ()) -> list[MemberOutcome]:
    """Train one device's members and save those that did not diverge; the outcomes are in the seeds' order.

    Raises:
        ConfigError, ModelError: nothing was trained or written.
    """
    config = share.config
    decoder = load_decoder(
        share.base, device=share.device, bf16=config.use_bf16, allow_unproven=config.allow_unproven_model
    )
    ensemble = StackedEnsemble(
        decoder,
        spec=spec_of(lora_settings(config), decoder, classes=config.num_labels),
        members=trained(share.seeds),
    )
    state = new_state(ensemble, config, steps=config.optimizer_steps(len(share.data.train)))
    train_epochs(state, share.data, config, listeners=listeners)
    save_members(ensemble, state.outcomes, RunFolder(config.output_dir), config=config, digests=share.digests)
    return state.outcomes


def _work(channel: Connection) -> None:
    """Be a worker: say so, take a share and a number of threads, give events, then the outcomes or an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends its workers
    channel.send(_READY)
    share, threads = channel.recv()
    torch.set_num_threads(threads)
    try:
        channel.send(train_share(share, listeners=[channel.send]))
    except EnsembleUQError as error:
        channel.send(error)
    except Exception as error:
        channel.send(MembersFailedError(f"{type(error).__name__}: {error} (its traceback is above)"))
        raise


def _context() -> ForkServerContext | SpawnContext:
    """Return how processes start: as forks of a server that has imported all of this once, where there is such a one.

    A fork of the caller would not do: it may have used a GPU, or threads.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start(group: int, share: Share) -> _Worker:
    context = _context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), name=f"training of group {group}", daemon=True)
    process.start()
    theirs.close()  # so that ours ends when the process does
    return _Worker(group=group, share=share, process=process, channel=ours)


def _results(
    workers: Sequence[_Worker], listeners: Sequence[Listener]
) -> tuple[list[MemberOutcome], list[LostMembers]]:
    """Give the workers their shares and pass their events on, until every one has given its outcomes or failed."""
    outcomes: list[MemberOutcome] = []
    lost: list[LostMembers] = []
    running = list(workers)
    while running:
        ready = wait([worker.channel for worker in running])
        for worker in [each for each in running if each.channel in ready]:
            match message := _next_message(worker):
                case str():
                    _hand_over(worker, threads=max(1, torch.get_num_threads() // len(workers)))
                case Event():
                    _tell(message, worker, listeners, groups=len(workers))
                case list():
                    outcomes += message
                    running.remove(worker)
                case _:
                    lost.append(_lost(worker, message))
                    running.remove(worker)
                    reason = MembersLost(seeds=worker.share.seeds, device=lost[-1].device, reason=str(lost[-1].error))
                    _tell(reason, worker, listeners, groups=len(workers))
    return outcomes, lost


def _next_message(worker: _Worker) -> str | Event | list[MemberOutcome] | EnsembleUQError | None:
    """Return what the worker says next; None where it died without a word."""
    try:
        message: str | Event | list[MemberOutcome] | EnsembleUQError = worker.channel.recv()
    except (EOFError, OSError):
        return None
    return message


def _hand_over(worker: _Worker, *, threads: int) -> None:
    with suppress(OSError):  # it has died since, and its pipe has ended, as `_next_message` will find
        worker.channel.send((worker.share, threads))


def _tell(event: Event, worker: _Worker, listeners: Sequence[Listener], *, groups: int) -> None:
    event = replace(event, group=worker.group)
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
