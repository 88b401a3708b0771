import platform
import re
import subprocess
import sys
from datetime import datetime, timedelta
from importlib import metadata

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.utils import provenance
from ensemble_uq_llm.utils.files import read_json
from ensemble_uq_llm.utils.provenance import command_line, git_commit, now, record_stage, versions


def test_versions(monkeypatch):
    assert versions()["python"] == platform.python_version()
    assert versions()["torch"] == metadata.version("torch")
    monkeypatch.setattr(provenance, "LIBRARIES", ("torch", "no-such-library"))
    assert set(versions()) == {"python", "torch"}


def test_commit_of_a_checkout():
    commit = git_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_no_git_no_commit(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert git_commit() is None


def test_outside_of_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert git_commit() is None


def test_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ensemble-uq", "train", "c.yaml"])
    assert command_line() == "ensemble-uq train c.yaml"
    monkeypatch.setattr(sys, "argv", ["ensemble-uq", "--set", "cache_dir=https://u:word@h/x", "\udcff\x1b"])
    assert command_line() == "ensemble-uq --set cache_dir=https://***@h/x \\udcff\\x1b"


def test_now_is_utc_to_the_second():
    time = datetime.fromisoformat(now())
    assert time.utcoffset() == timedelta(0)
    assert time.microsecond == 0


def test_stages_are_added_in_order(tmp_path):
    path = tmp_path / "run" / "run.json"
    record_stage(path, "train", seconds=1.23456, seeds=[42])
    record_stage(path, "predict", seconds=2, name="validation")
    record = read_json(path)
    assert set(record) == {"stages", "versions", "git_commit", "machine"}
    train, predict = record["stages"]
    assert train["stage"] == "train"
    assert train["seconds"] == 1.235
    assert train["seeds"] == [42]
    assert predict["name"] == "validation"
    assert datetime.fromisoformat(predict["finished"])


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"stages": 3}', ""])
def test_a_record_that_is_none_is_told_and_kept(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"run\.json: not a run's record .*; restore it or delete it"):
        record_stage(path, "train", seconds=1)
    assert path.read_text(encoding="utf-8") == content
