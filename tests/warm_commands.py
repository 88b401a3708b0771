"""Commands in processes that a warm server forks: all is imported, so that one costs a fraction of a second, and may be
killed at any moment. Workers of several devices are forks of the same server.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = get_context("forkserver")

@dataclass(kw_only=True)
class Command:
    """A command under way, and where it prints."""

    process: BaseProcess
    out: Path
    err: Path

    def wait(self, seconds: float = 120) -> int:
        """Return its exit code."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {seconds} s: {self.err.read_text()}")
        return self.process.exitcode

    def when(self, is_time: Callable[[], bool], seconds: float = 60) -> bool:
        """Wait until something is so; returns False where the command has ended before."""
        deadline = time.monotonic() + seconds
        while self.process.is_alive():
            if is_time():
                return True
            assert time.monotonic() < deadline, f"waited in vain: {self.err.read_text()}"
            time.sleep(0.002)
        return False


def start(
    arguments: Sequence[str | Path], *, logs: Path, devices: int = 1, threads: int = 1, before: Callable[[], object] = list
) -> Command:
    """Start a command in a process group of its own; `before` is called in it with nothing, before the command."""
    logs.mkdir(parents=True, exist_ok=True)
    number = len(list(logs.iterdir()))
    out, err = logs / f"{number:04d}.out", logs / f"{number:04d}.err"
    CONTEXT.set_forkserver_preload(["warm_server"])
    words = list(map(str, arguments))
    process = CONTEXT.Process(target=_run, args=(words, out, err, devices, threads, before))
    process.start()
    return Command(process=process, out=out, err=err)


def _run(
    arguments: list[str], out: Path, err: Path, devices: int, threads: int, before: Callable[[], object]
) -> None:
    os.setpgid(0, 0)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = ["ensemble-uq", *arguments]
    forkserver._forkserver.ensure_running = lambda: None  # it is the server that has forked us
    import torch

    from ensemble_uq_llm import __main__ as door
    from ensemble_uq_llm.training import loop

    torch.set_num_threads(threads)
    if devices > 1:
        loop.devices_of = lambda *_, **__: [torch.device("cpu")] * devices
    before()
    door.main()
