import tempfile
from pathlib import Path

import pytest

from ensemble_uq_llm.utils import doctor
from ensemble_uq_llm.utils.doctor import Check, examine


@pytest.fixture(autouse=True)
def silent_hub(monkeypatch):
    monkeypatch.setattr(doctor, "why_hub_is_silent", lambda: "nobody is there")


def found(folder):
    return {check.name: check for check in examine(folder)}


def test_what_is_looked_at(tmp_path):
    checks = found(tmp_path)
    assert {"python", "torch", "transformers", "gguf", "commit", "device", "cores", "disk", "hub"} <= set(checks)
    assert checks["device"].ok
    assert "GiB free" in checks["device"].finding
    assert "bfloat16 matrix instructions" in checks["cores"].finding


def test_a_silent_hub_is_a_fact_and_no_fault(tmp_path, monkeypatch):
    assert found(tmp_path)["hub"] == Check("hub", "nobody is there")
    monkeypatch.setattr(doctor, "why_hub_is_silent", lambda: None)
    assert found(tmp_path)["hub"] == Check("hub", "answers", ok=True)


def test_the_probe_leaves_nothing_and_makes_no_folder(tmp_path):
    disk = found(tmp_path / "runs" / "new")["disk"]
    assert disk.ok
    assert disk.finding.endswith(f"free at {tmp_path.resolve()}, writable")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    disk = found(tmp_path)["disk"]
    assert disk.ok is False
    assert disk.finding.startswith(f"{tmp_path}: cannot be written (Permission denied); make it accessible")


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "file").touch()
    disk = found(tmp_path / "file" / "runs")["disk"]
    assert disk == Check("disk", f"{tmp_path / 'file'}: a file, where a folder is to be; name another place", ok=False)


def test_a_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert found(Path())["disk"].ok
    assert found(Path("a/b"))["disk"].finding.endswith(f"{tmp_path.resolve()}, writable")
