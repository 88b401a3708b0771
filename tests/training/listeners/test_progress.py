import contextlib
import io
import math
from dataclasses import replace

from rich.console import Console

from ensemble_uq_llm.training.events import Ended, EpochEnded, MemberDiverged, MembersLost, Started, Stepped
from ensemble_uq_llm.training.listeners.progress import TrainingDisplay


def started(steps=20, seeds=(42, 43), **of_group):
    plan = {"epochs": 2, "steps": steps, "examples": 1234, "tokens_per_pass": 8192, "device": "a GPU"}
    return Started(seeds=seeds, **plan, **of_group)


def stepped(step, losses, group=0):
    return Stepped(group=group, step=step, epoch=1, learning_rate=1e-4, losses=losses, tokens_per_second=5000.4)


def epoch_ended(group, seed, loss):
    return EpochEnded(group=group, epoch=1, validation_loss={seed: loss}, validation_accuracy={seed: loss})


def shown(events, *, is_terminal=False, width=80, term="xterm"):
    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=is_terminal,
        width=width,
        highlight=False,
        color_system=None,
        _environ={"TERM": term},
    )
    with TrainingDisplay(console) as display:
        for event in events:
            display(event)
    return stream.getvalue()


def test_one_of_a_thing_is_called_so():
    alone = replace(started(), seeds=(42,), examples=1, epochs=1, steps=1)
    assert shown([alone]).startswith("training 1 member on 1 example: 1 epoch, 1 step, up to 8,192 tokens a pass")


def test_plain_lines_where_there_is_no_terminal():
    events = [started(), *(stepped(step, {42: 0.7, 43: 0.5}) for step in range(1, 21))]
    events += [
        EpochEnded(epoch=1, validation_loss={42: 0.61, 43: 0.6}, validation_accuracy={42: 0.5, 43: 0.75}),
        Ended(seconds=12.34),
    ]
    lines = shown(events).splitlines()
    assert lines[0] == (
        "training 2 members jointly on 1,234 examples: 2 epochs, 20 steps, up to 8,192 tokens a pass, a GPU"
    )
    assert lines[1] == "step 2/20: mean loss 0.6000, 5,000 tokens/s"
    assert lines[10] == "step 20/20: mean loss 0.6000, 5,000 tokens/s"
    assert lines[11:] == [
        "epoch 1: validation loss 0.6000 to 0.6100, accuracy 50.0% to 75.0% over the members",
        "trained in 12.3 s",
    ]


def test_plain_lines_where_the_terminal_cannot_redraw():
    events = [started(), *(stepped(step, {42: 0.7, 43: 0.5}) for step in range(1, 21)), Ended(seconds=12.34)]
    assert shown(events, is_terminal=True, term="dumb") == shown(events)


def test_the_last_step_is_always_told():
    lines = shown([started(steps=13), *(stepped(step, {42: 1.0}) for step in range(1, 14))]).splitlines()
    assert lines[-1].startswith("step 13/13:")


def test_the_loss_runs_smoothly():
    lines = shown([started(steps=2), stepped(1, {42: 1.0}), stepped(2, {42: 0.0})]).splitlines()
    assert lines[-1].startswith("step 2/2: mean loss 0.9000")


def test_a_member_that_diverged_does_not_hide_the_others():
    events = [
        started(steps=1),
        MemberDiverged(seed=43, step=1, reason="its loss is not finite"),
        stepped(1, {42: 0.7, 43: math.nan}),
        EpochEnded(epoch=1, validation_loss={42: 0.6, 43: math.nan}, validation_accuracy={42: 0.5, 43: 0.1}),
    ]
    lines = shown(events).splitlines()
    assert lines[1:] == [
        "member 43 diverged at step 1 (its loss is not finite); the others go on",
        "step 1/1: mean loss 0.7000, 5,000 tokens/s",
        "epoch 1: validation loss 0.6000 to 0.6000, accuracy 50.0% to 50.0% over the members",
    ]


def test_when_every_member_diverged():
    events = [
        started(steps=1, seeds=(42,)),
        MemberDiverged(seed=42, step=1),
        stepped(1, {42: math.nan}),
        EpochEnded(epoch=1, validation_loss={42: math.nan}, validation_accuracy={42: 0.5}),
    ]
    lines = shown(events).splitlines()
    assert lines[2] == "step 1/1: mean loss nan, 5,000 tokens/s"
    assert lines[3] == "epoch 1: every member has diverged"


def test_without_labelled_validation_data():
    text = shown([started(), EpochEnded(epoch=1, validation_loss={}, validation_accuracy={})])
    assert "epoch 1: not measured on validation data" in text


def test_a_terminal_shows_a_table_of_all_members():
    events = [
        started(),
        MemberDiverged(seed=43, step=3),
        stepped(4, {42: 0.7, 43: math.nan}),
        EpochEnded(epoch=1, validation_loss={42: 0.6123}, validation_accuracy={42: 0.875}),
    ]
    text = shown(events, is_terminal=True, width=120)
    assert "diverged at 3" in text
    for word in ("member", "validation loss", "0.7000", "0.6123", "87.5%", "4/20", "5,000 tokens/s"):
        assert word in text
    assert "step 4/20:" not in text


def test_a_terminal_before_the_first_event():
    assert "member" not in shown([], is_terminal=True)


def test_an_error_ends_the_display():
    console = Console(file=io.StringIO(), force_terminal=True)
    with contextlib.suppress(KeyboardInterrupt), TrainingDisplay(console) as display:
        display(started())
        raise KeyboardInterrupt
    assert console._live_stack == []


def both_started(steps):
    return [started(steps, (42,), group=0, groups=2), started(steps, (43,), group=1, groups=2)]


def test_two_devices_are_shown_as_one_training_at_the_pace_of_the_slower():
    first, second = both_started(2)
    events = [
        first, stepped(1, {42: 1.0}), stepped(2, {42: 1.0}), epoch_ended(0, 42, 0.5), Ended(seconds=4.0),
        second, stepped(1, {43: 0.5}, 1), stepped(2, {43: 0.5}, 1), epoch_ended(1, 43, 0.75),
        Ended(group=1, seconds=9.0),
    ]  # fmt: skip
    lines = shown(events).splitlines()
    assert [line.partition(" member ")[0] for line in (lines[0], lines[1])] == ["training 1"] * 2
    assert lines[2:] == [
        "step 1/2: mean loss 0.7500, 10,001 tokens/s",
        "step 2/2: mean loss 0.7500, 10,001 tokens/s",
        "epoch 1: validation loss 0.5000 to 0.7500, accuracy 50.0% to 75.0% over the members",
        "trained in 9.0 s",
    ]


def test_a_terminal_shows_the_members_of_all_devices():
    events = [*both_started(20), stepped(4, {42: 0.7}), stepped(5, {43: 0.6}, 1), epoch_ended(1, 43, 0.5)]
    text = shown(events, is_terminal=True, width=120)
    for word in ("42", "43", "0.7000", "0.6000", "50.0%", "4/20", "10,001 tokens/s"):
        assert word in text


def test_a_lost_device_does_not_hold_up_the_others():
    lost = MembersLost(group=1, seeds=(43, 44), device="cuda:1", reason="its process was ended by SIGKILL")
    events = [*both_started(1), stepped(1, {43: 9.0}, 1), lost, stepped(1, {42: 0.5}), epoch_ended(0, 42, 0.5)]
    lines = shown([*events, Ended(seconds=2.0)]).splitlines()
    assert lines[2:] == [
        "cuda:1: members 43, 44 lost: its process was ended by SIGKILL; the others go on",
        "step 1/1: mean loss 0.5000, 5,000 tokens/s",
        "epoch 1: validation loss 0.5000 to 0.5000, accuracy 50.0% to 50.0% over the members",
        "trained in 2.0 s",
    ]
