import errno
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.training import events
from ensemble_uq_llm.training.events import (
    Ended,
    EpochEnded,
    EventLog,
    Keeping,
    MemberDiverged,
    MembersLost,
    Started,
    Stepped,
)

EVENTS = [
    Started(seeds=(42, 43), epochs=1, steps=2, examples=9, tokens_per_pass=256, device="CPU"),
    Stepped(step=1, epoch=1, learning_rate=1e-4, losses={42: 0.7, 43: math.nan}, tokens_per_second=math.inf),
    MemberDiverged(seed=43, step=1),
    EpochEnded(epoch=1, validation_loss={42: 0.6, 43: math.nan}, validation_accuracy={42: 0.5, 43: 0.5}),
    Ended(seconds=1.5),
]


@pytest.fixture
def written(tmp_path):
    """Log events into a folder that is not there yet; returns the lines."""
    path = tmp_path / "run" / "events.jsonl"

    def write(events):
        log = EventLog(path, run="r1")
        path.parent.mkdir()
        assert not path.exists()
        for count, event in enumerate(events, start=1):
            log(event)
            assert len(path.read_text().splitlines()) == count
        return [json.loads(line) for line in path.read_text().splitlines()]

    return write


def test_one_line_an_event_in_order_with_name_and_time(written):
    records = written(EVENTS)
    assert [record["event"] for record in records] == [type(event).__name__ for event in EVENTS]
    assert all(isinstance(record["time"], float) for record in records)


def test_what_an_event_holds(written):
    started, stepped, diverged, epoch, ended = written(EVENTS)
    assert started["seeds"] == [42, 43]
    assert stepped["learning_rate"] == 1e-4
    assert (diverged["seed"], diverged["step"]) == (43, 1)
    assert epoch["validation_accuracy"] == {"42": 0.5, "43": 0.5}
    assert ended["seconds"] == 1.5


def test_json_has_no_nan(written):
    _, stepped, _, epoch, _ = written(EVENTS)
    assert stepped["losses"] == {"42": 0.7, "43": None}
    assert stepped["tokens_per_second"] is None
    assert epoch["validation_loss"] == {"42": 0.6, "43": None}


def test_every_line_names_its_group(written):
    lost = MembersLost(group=1, seeds=(44, 45), device="cuda:1", reason="its process was ended by SIGKILL")
    records = written([*EVENTS, lost])
    assert [record["group"] for record in records] == [0] * len(EVENTS) + [1]
    assert records[-1]["seeds"] == [44, 45]


def test_lines_are_added_to_those_of_an_earlier_training(tmp_path):
    for _ in range(2):
        EventLog(tmp_path / "events.jsonl", run="r1")(EVENTS[-1])
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 2


def test_a_run_folder_that_was_removed_is_not_made_anew(tmp_path):
    log = EventLog(tmp_path / "gone" / "events.jsonl", run="r1")
    log(EVENTS[1])  # which waits until something is kept
    for event in (EVENTS[0], Keeping(step=1), EVENTS[-1]):
        with pytest.raises(StorageError, match=r"events\.jsonl: cannot be written"):
            log(event)
    assert not (tmp_path / "gone").exists()


class _Refusing:
    """A file on a disk that takes so many bytes more, and then none."""

    def __init__(self, stream, room):
        self.stream, self.room = stream, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, told):
        written = self.stream.write(told[: self.room]) if self.room else 0
        if not written:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written


@pytest.mark.parametrize("room", [0, 1, 30, 100])
def test_what_a_disk_refuses_is_written_when_it_has_room(room, tmp_path, monkeypatch):
    log, path, original = EventLog(tmp_path / "events.jsonl", run="r1"), tmp_path / "events.jsonl", Path.open
    log(EVENTS[0])
    before = path.read_bytes()
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: _Refusing(original(self, *args, **kw), room))
    log(EVENTS[1])
    log(EVENTS[2])
    with pytest.raises(StorageError, match=r"events\.jsonl: cannot be written \(No space left on device\)"):
        log(Keeping(step=1))
    assert path.read_bytes().startswith(before)
    monkeypatch.undo()
    log(Keeping(step=1))
    told = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert told == [type(event).__name__ for event in EVENTS[:3]]


def test_a_training_that_goes_on_leaves_nothing_torn(tmp_path, monkeypatch):
    log, path, original = EventLog(tmp_path / "events.jsonl", run="r1"), tmp_path / "events.jsonl", Path.open
    log(EVENTS[0])
    rooms = [250, 10]
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: _Refusing(original(self, *args, **kw), rooms.pop()))
    log(EVENTS[1])
    log(EVENTS[2])
    monkeypatch.undo()
    assert path.read_bytes().count(b"\n") == 2, "a whole line, and a torn one"
    log(replace(EVENTS[0], group=1))
    told = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert told == [type(event).__name__ for event in (*EVENTS[:3], EVENTS[0])]


@pytest.mark.parametrize("event", [Keeping(step=1), Ended(seconds=1.5)])
def test_before_anything_is_kept_all_lines_are_flushed(event, tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(events, "flush", lambda path: flushed.append((path, path.read_text().count("\n"))))
    log = EventLog(tmp_path / "events.jsonl", run="r1")
    log(EVENTS[1])
    assert flushed == []
    log(event)
    assert flushed == [(tmp_path / "events.jsonl", 1 + isinstance(event, Ended))]
