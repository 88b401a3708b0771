"""Where the tests of faults let disks fail: in memory where that is to be had, as they write thousands of folders."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def fast_folder() -> Iterator[Path]:
    """An empty folder, removed afterwards."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None)).resolve()
    yield folder
    shutil.rmtree(folder)
