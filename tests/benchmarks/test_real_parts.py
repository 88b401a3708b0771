import json
import sys
import time
from functools import partial

import pytest

from ensemble_uq_llm.utils.files import write_text
from real.parts import FailedPart, Part, Parts, Stopped


def part(done, *, name="one", words=("a",), after=()):
    return Part(name=name, words=words, work=partial(done.append, name), after=after)


def test_a_part_is_done_once_and_again_for_another_command(tmp_path):
    done = []
    for words in (("a",), ("a",), ("b",)):
        Parts(tmp_path).do(part(done, words=words))
    assert done == ["one", "one"]
    assert Parts(tmp_path).record("one")["command"] == ["b"]


def test_a_part_is_done_again_where_what_it_is_made_from_was(tmp_path):
    done = []
    first, second = part(done, name="first"), part(done, name="second", after=("first",))
    for _ in range(2):
        Parts(tmp_path).do(first)
        Parts(tmp_path).do(second)
    assert done == ["first", "second"]
    record = tmp_path / "first.json"
    write_text(record, json.dumps(json.loads(record.read_text()) | {"finished": "later"}))
    Parts(tmp_path).do(second)
    assert done == ["first", "second", "second"]


def test_what_fails_is_not_recorded(tmp_path):
    with pytest.raises(FailedPart, match="exit code 3: ensemble-uq report nowhere"):
        Parts(tmp_path / "parts").do(Part(name="bad", words=("report", "nowhere")))
    assert Parts(tmp_path / "parts").record("bad") is None


def test_no_part_begins_when_the_time_is_up(tmp_path):
    done = []
    with pytest.raises(Stopped):
        Parts(tmp_path, seconds=0).do(part(done))
    assert done == []


def test_a_command_is_asked_to_stop_when_the_time_is_up(tmp_path, monkeypatch):
    child = tmp_path / "child.py"
    child.write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(75))\n"
        f"pathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {child}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    began = time.monotonic()
    with pytest.raises(Stopped):
        Parts(tmp_path / "parts", seconds=3).do(Part(name="long", words=("run",)))
    assert (tmp_path / "began").exists()
    assert time.monotonic() - began < 30
    assert Parts(tmp_path / "parts").record("long") is None
