"""What a run was made with: versions, machine, the project's commit, and the stages so far."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.outgoing.safe_text import safe_text
from ensemble_uq_llm.utils.files import read_json, write_json

LIBRARIES: Final = ("ensemble-uq-llm", "torch", "transformers", "peft", "datasets", "numpy", "pyarrow")


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
    """Return the command that runs now, as it was typed but for secrets."""
    return safe_text(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))


def now() -> str:
    """Return the time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_state(path: Path, **facts: Any) -> None:
    """Write facts of what the run is now into its record at `path`, in place of those of the same names.

    Raises:
        IntegrityError: what is there is not a run's record.
    """
    write_json(path, read_record(path) | facts)


def record_stage(path: Path, stage: str, *, seconds: float, **facts: Any) -> None:
    """Add a finished stage (`train`, `predict` ...) with its facts and duration to the run's record at `path`.

    Raises:
        IntegrityError: what is there is not a run's record.
    """
    record = read_record(path)
    record |= {
        "versions": versions(),
        "git_commit": git_commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }
    record["stages"].append(
        {"stage": stage, "finished": now(), "seconds": round(seconds, 3), "command": command_line(), **facts}
    )
    write_json(path, record)


def read_record(path: Path) -> dict[str, Any]:
    """Return a run's record; one without stages where there is none.

    Raises:
        IntegrityError: what is there is not a run's record.
    """
    if not path.exists():
        return {"stages": []}
    try:
        record = read_json(path)
    except ValueError as error:
        raise IntegrityError(f"{path}: not a run's record ({error}); restore it or delete it") from None
    if not isinstance(record.get("stages"), list):
        raise IntegrityError(f"{path}: not a run's record (it has no list of stages); restore it or delete it")
    return record
