"""`make` refuses a Python that is too old, before anything is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FAKE = """\
#!/bin/sh
exec {python} -c 'import sys; sys.version_info = (3, {minor}, 1); exec(sys.argv[2])' "$@"
"""
"""A Python that says it is another; it runs only `python -c`."""


@pytest.fixture
def make(tmp_path):
    """Call `make demo` with a `python3` on the path that says it is Python 3.MINOR."""
    (tmp_path / "bin").mkdir()

    def call(minor, *words, name="python3"):
        fake = tmp_path / "bin" / name
        fake.write_text(FAKE.format(python=sys.executable, minor=minor), encoding="utf-8")
        fake.chmod(0o755)
        environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        command = ["make", "demo", f"VENV={tmp_path / 'venv'}", *words]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize("minor", [9, 10])
def test_an_old_python_is_refused_before_anything_is_made(make, tmp_path, minor):
    answer = make(minor)

    assert answer.returncode != 0
    assert answer.stderr.startswith(
        f"error: python3 is Python 3.{minor}, and Python 3.11 or newer is needed; name another, such as: "
        "make PYTHON=python3.12 demo\n"
    )
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there(make, tmp_path):
    answer = make(12, "PYTHON=python3.99")

    assert "error: python3.99 is not to be had, and Python 3.11 or newer is needed" in answer.stderr
    assert not (tmp_path / "venv").exists()


def test_another_python_is_taken_by_name(make):
    answer = make(12, "--silent", "PYTHON=python3.12", name="python3.12")

    # The fake one can make no environment, but its version passes.
    assert "is needed" not in answer.stderr
    assert "Error" in answer.stderr
