import json

import pytest

from ensemble_uq_llm.report.training_log import read_training_log
from ensemble_uq_llm.training.events import Ended, EpochEnded, EventLog, MemberDiverged, Started, Stepped


def started(*seeds):
    return Started(seeds=seeds, epochs=2, steps=4, examples=8, tokens_per_pass=64, device="CPU")


def stepped(step, losses, epoch=1):
    return Stepped(step=step, epoch=epoch, learning_rate=0.1, losses=losses, tokens_per_second=1.0)


def ended(epoch, losses):
    return EpochEnded(epoch=epoch, validation_loss=losses, validation_accuracy={})


def written(tmp_path, *events):
    for number, event in enumerate(events):
        if isinstance(event, Started):  # of another training each
            log = EventLog(tmp_path / "events.jsonl", run=f"training {number}")
        log(event)
    return tmp_path / "events.jsonl"


def test_what_training_logs_is_read_back(tmp_path):
    path = written(
        tmp_path,
        started(7, 8),
        stepped(1, {7: 0.7, 8: 0.9}),
        stepped(2, {7: 0.5, 8: 0.8}, epoch=2),
        ended(2, {7: 0.6, 8: 0.7}),
        Ended(seconds=1.0),
    )
    logs = read_training_log(path, [8, 7, 9])

    assert list(logs) == [8, 7]
    assert logs[7].losses == {1: 0.7, 2: 0.5}
    assert logs[8].validation_losses == {2: 0.7}


def test_a_training_that_goes_on_replaces_what_was_lost(tmp_path):
    path = written(
        tmp_path,
        started(7),
        *(stepped(step, {7: 9.0}) for step in (1, 2, 3, 4)),
        started(7),
        stepped(3, {7: 0.3}),
    )

    assert read_training_log(path, [7])[7].losses == {1: 9.0, 2: 9.0, 3: 0.3}


def test_a_training_from_the_start_replaces_an_earlier_one_of_its_members_alone(tmp_path):
    path = written(
        tmp_path,
        started(7, 8),
        *(stepped(step, {7: 9.0, 8: 8.0}) for step in (1, 2)),
        ended(1, {7: 9.0, 8: 8.0}),
        started(7),
        stepped(1, {7: 0.7}),
    )
    logs = read_training_log(path, [7, 8])

    assert (logs[7].losses, logs[7].validation_losses) == ({1: 0.7}, {})
    assert (logs[8].losses, logs[8].validation_losses) == ({1: 8.0, 2: 8.0}, {1: 8.0})


def test_a_member_that_diverged_has_the_losses_until_then(tmp_path):
    path = written(
        tmp_path, started(7), stepped(1, {7: 0.7}), stepped(2, {7: float("nan")}), MemberDiverged(seed=7, step=2)
    )
    log = read_training_log(path, [7])[7]

    assert log.losses == {1: 0.7}
    assert log.diverged


def test_groups_on_several_devices_are_read_together(tmp_path):
    path = written(tmp_path, started(7), started(8), stepped(1, {7: 0.7}), stepped(1, {8: 0.8}), stepped(2, {7: 0.6}))
    logs = read_training_log(path, [7, 8])

    assert (logs[7].losses, logs[8].losses) == ({1: 0.7, 2: 0.6}, {1: 0.8})


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "Stepped", "step": 2, "lo',
        "[]",
        '"event"',
        "{}",
        '{"event": "Stepped"}',
        '{"event": "Stepped", "step": "x", "epoch": 1, "losses": {"7": 1}}',
        '{"event": "Stepped", "step": 2, "epoch": 1, "losses": {"x": 1, "7": "y"}}',
        '{"event": "Started", "seeds": 3}',
        '{"event": "MemberDiverged", "seed": 99}',
        '{"event": "MemberDiverged"}',
        '{"event": ["Stepped"]}',
        '{"event": "EpochEnded", "epoch": null, "validation_loss": {"7": 1}}',
        "\x00\ufffd",
    ],
)
def test_lines_that_are_torn_or_none_of_ours_are_passed_over(tmp_path, line):
    path = written(tmp_path, started(7), stepped(1, {7: 0.7}))
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    EventLog(path, run="second")(stepped(3, {7: 0.5}))

    assert read_training_log(path, [7])[7].losses == {1: 0.7, 3: 0.5}


def test_without_a_log_of_these_members_there_is_none(tmp_path):
    assert read_training_log(tmp_path / "events.jsonl", [7]) == {}
    (tmp_path / "events.jsonl").write_text(json.dumps({"event": "Started", "seeds": [7]}))
    assert read_training_log(tmp_path / "events.jsonl", [7]) == {}
