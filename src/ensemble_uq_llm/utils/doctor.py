"""What `ensemble-uq doctor` looks at: versions, devices, memory, disk, and whether the hub answers."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ensemble_uq_llm.errors import MissingExtraError, StorageError
from ensemble_uq_llm.storage.places import check_can_be_made, check_can_be_written
from ensemble_uq_llm.utils.extras import extra_of, how_to_install, naming_extras
from ensemble_uq_llm.utils.hub import why_hub_is_silent
from ensemble_uq_llm.utils.provenance import LIBRARIES, git_commit, versions
from ensemble_uq_llm.utils.text import first_line

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `ok` None means that it is a fact and neither good nor bad."""

    name: str
    finding: str
    ok: bool | None = None


def examine(folder: Path) -> Iterator[Check]:
    """Yield the findings; `folder` is where a run would be written."""
    yield from _versions()
    yield Check("commit", git_commit() or "not a git checkout")
    yield _device()
    yield Check("cores", f"{os.cpu_count()}, bfloat16 matrix instructions: {_bf16_instructions()}")
    yield _disk(folder)
    yield _hub()


def _versions() -> Iterator[Check]:
    found = versions()
    for name in ["python", *LIBRARIES]:
        extra = extra_of(name)
        absent = "not installed" + (f"; {how_to_install(extra)} brings it" if extra else "")
        yield Check(name, found.get(name, absent))


def _device() -> Check:
    try:
        with naming_extras():
            from ensemble_uq_llm.utils.device import choose_device, describe_device, free_bytes
    except MissingExtraError:
        return Check("device", "none to train or predict on: the libraries for that are not installed")
    device = choose_device("auto")
    return Check("device", f"{describe_device(device)}, {free_bytes(device) / GIB:.1f} GiB free", ok=True)


def _hub() -> Check:
    try:
        with naming_extras():
            silence = why_hub_is_silent()
    except MissingExtraError:
        return Check("hub", "not asked: huggingface_hub is not installed")
    return Check("hub", silence or "answers", ok=None if silence else True)


def _bf16_instructions() -> str:
    flags = Path("/proc/cpuinfo")
    if not flags.exists():
        return "unknown"
    found = {"avx512_bf16", "amx_bf16"} & set(flags.read_text(encoding="utf-8").split())
    return ", ".join(sorted(found)) or "none"


def _disk(folder: Path) -> Check:
    try:
        existing = check_can_be_made(folder)
        free = f"{shutil.disk_usage(existing).free / GIB:.1f} GiB free at {existing.resolve()}"
        check_can_be_written(existing)
    except (StorageError, OSError) as error:
        return Check("disk", first_line(error), ok=False)
    return Check("disk", f"{free}, writable", ok=True)
