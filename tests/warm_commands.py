"""Commands in processes that a warm server forks: all is imported, so that one costs a fraction of a second, and may be
killed at any moment. Workers of several devices are forks of the same server.
"""

import importlib
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

CONTEXT = get_context("forkserver")
PRELOADED = ["warm_server"]

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait on busy cores must not spin


@dataclass(kw_only=True)
class Command:
    """A command under way, and where it prints."""

    process: BaseProcess
    out: Path
    err: Path

    def wait(self, seconds: float = 300) -> int:
        """Return its exit code."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self._give_up(seconds)
        return self.process.exitcode or 0

    def when(self, is_time: Callable[[], bool], seconds: float = 300) -> bool:
        """Wait until something is so; returns False where the command has ended before."""
        deadline = time.monotonic() + seconds
        while self.process.is_alive():
            if is_time():
                return True
            if time.monotonic() > deadline:
                self._give_up(seconds)
            time.sleep(0.002)
        return False

    def _give_up(self, seconds: float) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)
        time.sleep(1)
        self.process.kill()
        raise AssertionError(f"waited {seconds} s in vain: {self.err.read_text()}")


def start(
    arguments: Sequence[str | Path],
    *,
    logs: Path,
    devices: int = 1,
    threads: int = 1,
    before: Callable[[], object] = list,
) -> Command:
    """Start a command in a process group of its own; `before` is called in it with nothing, before the command."""
    logs.mkdir(parents=True, exist_ok=True)
    number = len(list(logs.iterdir()))
    out, err = logs / f"{number:04d}.out", logs / f"{number:04d}.err"
    _warm_up()
    words = list(map(str, arguments))
    process = CONTEXT.Process(target=_run, args=(words, out, err, devices, threads, before))
    process.start()
    return Command(process=process, out=out, err=err)


def _warm_up() -> None:
    """Start the server, unless it is ours already: it hears of no `sys.path`, and passes over what it cannot import."""
    server = forkserver._forkserver
    if server._forkserver_pid is not None and server._preload_modules == PRELOADED:
        return
    server._stop()  # made for tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        CONTEXT.set_forkserver_preload(PRELOADED)
        server.ensure_running()


def _run(arguments: list[str], out: Path, err: Path, devices: int, threads: int, before: Callable[[], object]) -> None:
    os.setpgid(0, 0)
    is_warm = "warm_server" in sys.modules
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    assert is_warm, "the server has imported nothing, so that every command would import all anew"
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


def workers_beside(command: Command) -> list[psutil.Process]:
    """Return the processes of the server that are not this command: the workers of its devices."""
    server = psutil.Process(forkserver._forkserver._forkserver_pid)
    return [each for each in server.children() if each.pid != command.process.pid]


def remove(folder: Path) -> None:
    """Remove the folder of a run, where it is there."""
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class SignalAt:
    """Called before a command, it has the process send itself a signal when a function is called the n-th time."""

    number: int
    place: str
    """The function, as `module:name`, within our package."""
    call: int = 1

    def __call__(self) -> None:
        name, _, attribute = self.place.partition(":")
        module = importlib.import_module(f"ensemble_uq_llm.{name}")
        original, calls = getattr(module, attribute), itertools.count(1)

        def signalled(*arguments: object, **named: object) -> object:
            if next(calls) == self.call:
                os.kill(os.getpid(), self.number)
            return original(*arguments, **named)

        setattr(module, attribute, signalled)
