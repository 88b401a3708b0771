"""What a run was made with: versions, machine, the project's commit, and the stages so far."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.outgoing.safe_text import safe_text

LIBRARIES: Final = ("ensemble-uq-llm", "torch", "transformers", "peft", "gguf", "datasets", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that numbers depend on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the commit of the checkout that this code runs from (`-dirty` if changed), or None outside of one."""
    folder = Path(__file__).resolve().parent
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def command_line() -> str:
    """Return the command that runs now, as a shell takes it again but for secrets."""
    return safe_text(shlex.join(_typed()))


def _typed() -> list[str]:
    door = Path(sys.argv[0])
    if door.suffix != ".py":
        return [door.name, *sys.argv[1:]]
    return [Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]  # `python main.py`, `python -m`


def now() -> str:
    """Return the time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def with_stage(record: Mapping[str, Any], stage: str, *, seconds: float, **facts: Any) -> dict[str, Any]:
    """Return a run's record with a finished stage (`train`, `predict` ...), its facts and its duration, added to it."""
    finished = {"stage": stage, "finished": now(), "seconds": round(seconds, 3), "command": command_line(), **facts}
    return {
        **record,
        "stages": [*record["stages"], finished],
        "versions": versions(),
        "git_commit": git_commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
