import io
import json
import math

from ensemble_uq_llm.training.event_log import EventLog
from ensemble_uq_llm.training.events import Ended, EpochEnded, MemberDiverged, Started, Stepped

EVENTS = [
    Started(seeds=(42, 43), epochs=1, steps=2, examples=9, tokens_per_pass=256, device="CPU"),
    Stepped(step=1, epoch=1, learning_rate=1e-4, losses={42: 0.7, 43: math.nan}, tokens_per_second=math.inf),
    MemberDiverged(seed=43, step=1),
    EpochEnded(epoch=1, validation_loss={42: 0.6, 43: math.nan}, validation_accuracy={42: 0.5, 43: 0.5}),
    Ended(seconds=1.5),
]


class CountingStream(io.StringIO):
    flushes = 0

    def flush(self):
        self.flushes += 1


def written(events):
    stream = CountingStream()
    log = EventLog(stream)
    for event in events:
        log(event)
    assert stream.flushes == len(events)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_line_an_event_in_order_with_name_and_time():
    records = written(EVENTS)
    assert [record["event"] for record in records] == [type(event).__name__ for event in EVENTS]
    assert all(isinstance(record["time"], float) for record in records)


def test_what_an_event_holds():
    started, stepped, diverged, epoch, ended = written(EVENTS)
    assert started["seeds"] == [42, 43]
    assert stepped["learning_rate"] == 1e-4
    assert (diverged["seed"], diverged["step"]) == (43, 1)
    assert epoch["validation_accuracy"] == {"42": 0.5, "43": 0.5}
    assert ended["seconds"] == 1.5


def test_json_has_no_nan():
    _, stepped, _, epoch, _ = written(EVENTS)
    assert stepped["losses"] == {"42": 0.7, "43": None}
    assert stepped["tokens_per_second"] is None
    assert epoch["validation_loss"] == {"42": 0.6, "43": None}
