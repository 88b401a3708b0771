"""The parts of a task in their order: commands and small work, each done once and recorded."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.errors import InterruptedRunError
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.provenance import now

PACKAGE: Final = ("-m", "ensemble_uq_llm")


class Stopped(Exception):
    """The time is up, or somebody has asked to stop; the same command goes on from here."""


class FailedPart(Exception):
    """A command of the package has failed; it has said why."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that is done for a task."""

    name: str
    """Unique in the whole benchmark, and a file's."""
    words: tuple[str, ...]
    """The command after `ensemble-uq`; of other work what it depends on."""
    program: tuple[str, ...] = PACKAGE
    """What Python runs with these words."""
    work: Callable[[], None] | None = None
    """What is done in place of a command."""
    output: Path | None = None
    """Where what the command prints goes."""
    after: tuple[str, ...] = ()
    """The parts that it is made from: where they were done anew, so is this one."""


class Parts:
    """Does parts, and remembers which are done: a JSON each in a folder."""

    def __init__(self, folder: Path, *, seconds: float | None = None) -> None:
        self._folder = folder
        self._end = None if seconds is None else time.monotonic() + seconds

    def record(self, name: str) -> dict[str, Any] | None:
        """Return what is recorded of a finished part; None of one that is not."""
        path = self._folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def do(self, part: Part) -> None:
        """Do a part that was not done as it would be now.

        Raises:
            Stopped: the time is up. FailedPart: the command failed.
        """
        made_from = {name: (self.record(name) or {}).get("finished") for name in part.after}
        done = self.record(part.name)
        if done is not None and (done["command"], done["made_from"]) == (list(part.words), made_from):
            print(f"done before: {part.name}")
            return
        if self._left() == 0:
            raise Stopped
        print(f"now: {part.name}", flush=True)
        began = time.monotonic()
        if part.work is not None:
            part.work()
        else:
            self._command(part)
        record = {
            "command": list(part.words),
            "made_from": made_from,
            "seconds": round(time.monotonic() - began, 1),
            "finished": now(),
            "cpu": f"{cpu_name()}, {os.cpu_count()} cores",
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text(self._folder / f"{part.name}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    def _left(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def _command(self, part: Part) -> None:
        output, pipe = part.output, None if part.output is None else subprocess.PIPE
        command = [sys.executable, *part.program, *part.words]
        with subprocess.Popen(command, stdout=pipe) as process:
            try:
                printed, _ = process.communicate(timeout=self._left())
            except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
                if isinstance(reason, subprocess.TimeoutExpired):  # else the terminal has asked the command, too
                    process.send_signal(signal.SIGINT)
                printed, _ = process.communicate()
        if process.returncode == InterruptedRunError.exit_code:
            raise Stopped
        if process.returncode:
            raise FailedPart(f"exit code {process.returncode}: ensemble-uq {' '.join(part.words)}")
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_text(output, printed.decode())


def cpu_name() -> str:
    """Return what the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
