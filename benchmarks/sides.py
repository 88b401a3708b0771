"""The sides of a comparison, each in a process of its own, taking turns: one works while the others wait.

Turns make slow minutes of the machine hit every side alike; processes of their own have peak memories of their own.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self

import numpy as np
import torch


class Worker(Protocol):
    """What runs in a side's process: a check that says what it computes, and blocks of work to be timed."""

    def check(self) -> Any:
        """Return what must equal the other sides' answer."""

    def block(self, index: int) -> int:
        """Do the block of work with that number; returns how many real tokens it held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One timed block: wall-clock seconds, the process's CPU seconds, and real (unpadded) tokens."""

    seconds: float
    cpu_seconds: float
    tokens: int


class Side:
    """A worker in its process, and the blocks that were timed there."""

    def __init__(self, name: str, make: Callable[..., Worker], *arguments: Any) -> None:
        self.name = name
        self.blocks: list[Block] = []
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def check(self) -> Any:
        """Return what the worker's check computes."""
        return self._ask(("check",))

    def warm_up(self, index: int) -> None:
        """Run a block that does not count."""
        self._ask(("block", index))

    def run(self, index: int) -> None:
        """Run a block and note its time."""
        self.blocks.append(self._ask(("block", index)))

    def peak_bytes(self) -> int:
        """Return the process's peak memory: on the GPU where it used one, else resident."""
        return self._ask(("peak",))

    def tokens_per_second(self) -> float:
        """Return the median over blocks."""
        return float(np.median([block.tokens / block.seconds for block in self.blocks]))

    def _ask(self, question: tuple[Any, ...]) -> Any:
        self._pipe.send(question)
        try:
            return self._pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.name}: its process ended; its message is above") from None


def _serve(pipe: Connection, make: Callable[..., Worker], arguments: Sequence[Any]) -> None:
    worker = make(*arguments)
    while True:
        match pipe.recv():
            case ("check",):
                pipe.send(worker.check())
            case ("block", index):
                pipe.send(_timed(worker, index))
            case ("peak",):
                on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0
                pipe.send(on_gpu or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _timed(worker: Worker, index: int) -> Block:
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = worker.block(index)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return Block(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu, tokens=tokens)


def take_turns(sides: Sequence[Side], rounds: int) -> None:
    """Let every side warm up with block 0, then time a block of each, round by round."""
    for side in sides:
        side.warm_up(0)
    for round_ in range(1, rounds + 1):
        for side in sides:
            side.run(round_)


def print_ratios(ours: Side, peers: Sequence[Side]) -> None:
    """Print how many times longer each peer takes: the median, lowest and highest round, and that of CPU seconds."""
    print("| ratio | median | lowest | highest | of CPU seconds |")
    print("|---|---|---|---|---|")
    for peer in peers:
        wall, cpu = ratios(ours, peer), ratios(ours, peer, cpu=True)
        print(f"| {peer.name} | {np.median(wall):.2f} | {wall.min():.2f} | {wall.max():.2f} | {np.median(cpu):.2f} |")


def ratios(ours: Side, peer: Side, *, cpu: bool = False) -> np.ndarray:
    """Return, round by round, how many times longer the peer takes for a real token."""

    def cost(block: Block) -> float:
        return (block.cpu_seconds if cpu else block.seconds) / block.tokens

    return np.array([cost(theirs) / cost(own) for own, theirs in zip(ours.blocks, peer.blocks, strict=True)])
