"""SIGTERM, SIGINT and SIGHUP in every phase of every command: exit 75, what is kept is said truly, and it continues."""

import itertools
import os
import re
import shlex
import signal
import time
from pathlib import Path

import psutil
import pytest

import warm_commands
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.run_folder import RunFolder

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOADING, STEP = ("training.share:load_decoder", 1), ("training.epochs:train_step", 2)

TRAINING = {
    "before the command": ("cli:main", 1, None),
    "data": ("data.job:load_training", 1, None),
    "base": (*LOADING, None),
    "a step": (*STEP, "training up to step 2"),
    "validation": ("training.epochs:member_logits", 1, "training up to step 3"),
    "a checkpoint": ("training.keeping.checkpoints:save_file", 1, "training up to step 3"),
    "a member": ("training.outcomes:write_adapter", 1, "the members of seed 42 and training up to step 3"),
    "the end": ("training.loop:with_stage", 1, "the members of seed 42 and seed 43"),
}
"""Where training is asked to stop: a function, its call, and what is kept then, if anything."""

READING = {
    "predicting": ("run {yaml}", "inference.predict:member_logits", "the members of seed 42 and seed 43"),
    "evaluating": ("evaluate {own}", "evaluation.evaluate:resample_labelled", None),
    "report": ("report {own}", "report.page:read_source", None),
    "compare": ("compare {own} {own}", "comparing.runs_to_compare:read_runs", None),
    "validate": ("validate {yaml}", "commands.preflight:RunFolder", None),
}


def stopped(words: list[str | Path], tmp_path: Path, at: warm_commands.SignalAt) -> str:
    """Start a command that is asked to stop; returns what it says."""
    command = warm_commands.start(words, logs=tmp_path / "logs", before=at)
    assert command.wait() == 75, (command.err.read_text(), command.out.read_text())
    told = command.err.read_text().splitlines()[-1]
    assert told.startswith(f"error: stopped by {signal.Signals(at.number).name}; "), command.err.read_text()
    assert "Traceback" not in command.err.read_text()
    return told


def go_on(told: str, tmp_path: Path, otherwise: list[str | Path]) -> None:
    """Do what the message says."""
    found = re.search("; continue with: ensemble-uq (.*)", told)
    command = warm_commands.start(shlex.split(found[1]) if found else otherwise, logs=tmp_path / "logs")
    assert command.wait() == 0, command.err.read_text()


@pytest.mark.parametrize("phase", TRAINING)
def test_training_stops_within_a_step_and_goes_on(phase: str, tiny_yaml, tmp_path, rounds, tally) -> None:
    place, call, kept = TRAINING[phase]
    words, count = ["train", tiny_yaml, "--set", "checkpoint_steps=3"], rounds(1, 20)
    shift = list(TRAINING).index(phase)
    for number in itertools.islice(itertools.cycle(SIGNALS), shift, shift + count):
        told = stopped(words, tmp_path, warm_commands.SignalAt(number=number, place=place, call=call))
        folder = RunFolder(tmp_path / "run")
        if kept is None:
            assert re.search("nothing was (written|finished)|run the same command again", told)
            assert not folder.root.exists()
        else:
            assert f"kept in {folder.root}: {kept}; continue with: " in told
        go_on(told, tmp_path, words)
        assert folder.members() == list(trained((42, 43)))
        assert not folder.checkpoints.exists()
        warm_commands.remove(folder.root)
    tally(f"{count} of {count} stops exit 75 and continue ({phase})")


@pytest.mark.parametrize("phase", READING)
def test_what_only_reads_stops_and_can_be_done_again(phase: str, tiny_yaml, own_run, tmp_path, rounds, tally) -> None:
    line, place, kept = READING[phase]
    words, count = line.format(yaml=tiny_yaml, own=own_run).split(), rounds(1, 20)
    shift = list(READING).index(phase)
    for number in itertools.islice(itertools.cycle(SIGNALS), shift, shift + count):
        told = stopped(words, tmp_path, warm_commands.SignalAt(number=number, place=place))
        assert kept is None or f": {kept}; continue with: " in told
        go_on(told, tmp_path, words)
        warm_commands.remove(tmp_path / "run")
    tally(f"{count} of {count} stops exit 75 and continue ({phase})")


def test_the_demo_stops_and_goes_on_with_what_it_has_kept(tmp_path) -> None:
    changes = {"num_epochs": 1, "seeds": [1, 2], "max_train_examples": 64, "checkpoint_steps": 1}
    options = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    words = ["demo", "--output-dir", tmp_path / "my demo", *options]
    told = stopped(words, tmp_path, warm_commands.SignalAt(number=signal.SIGTERM, place=STEP[0], call=1))
    assert f"kept in {tmp_path / 'my demo'}: training up to step 1; continue with: " in told
    on = shlex.split(told.partition("; continue with: ensemble-uq ")[2])
    assert on == [*map(str, words)]
    predicting = warm_commands.SignalAt(number=signal.SIGHUP, place="inference.predict:member_logits")
    assert ": the members of seed 1 and seed 2; continue with: " in stopped(on, tmp_path, predicting)


@pytest.fixture
def two_devices(tiny_yaml: Path, tmp_path: Path):
    """A training on two devices, both of which have taken a step, with its workers, and its folder."""
    folder = RunFolder(tmp_path / "run")

    def begin() -> tuple[warm_commands.Command, list[psutil.Process], RunFolder]:
        words = ["train", tiny_yaml, "--set", "num_epochs=2000", "--set", "checkpoint_steps=50"]
        command = warm_commands.start(words, logs=tmp_path / "logs", devices=2)
        is_under_way = re.compile(rb'(?s)"Stepped".*"group": 0.*"Stepped".*"group": 1|"group": 1.*"group": 0')
        assert command.when(lambda: folder.events.exists() and is_under_way.search(folder.events.read_bytes()))
        own = warm_commands.workers_beside(command)
        assert len(own) == 2
        return command, own, folder

    return begin


@pytest.mark.parametrize("whom", ["the parent", "a worker", "all"])
def test_whoever_of_several_is_asked_all_stop_and_keep_their_steps(whom: str, two_devices) -> None:
    command, own, folder = two_devices()
    parent = command.process.pid
    for process in {"the parent": [parent], "a worker": [own[0].pid], "all": [parent, *(each.pid for each in own)]}[
        whom
    ]:
        os.kill(process, signal.SIGTERM)
    assert command.wait() == 75, command.err.read_text()
    steps = folder.kept_steps()
    assert steps.keys() == {"from_seed_42", "from_seed_43"}
    told = command.err.read_text().splitlines()[-1]
    assert f"training up to step {min(steps.values()):,}" in told
    assert not any(each.is_running() for each in own)


def test_workers_end_with_their_parent_and_write_no_more(two_devices) -> None:
    command, own, folder = two_devices()
    command.process.kill()
    assert psutil.wait_procs(own, timeout=10)[1] == []
    before = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")}
    time.sleep(0.3)
    assert {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")} == before


def test_a_stop_that_is_swallowed_would_be_noticed(tiny_yaml, tmp_path) -> None:
    """A harness that never sends its signal finds exit 0, and fails."""
    never = warm_commands.SignalAt(number=signal.SIGTERM, place="training.epochs:train_step", call=99)
    with pytest.raises(AssertionError, match=r"assert 0 == 75"):
        stopped(["train", tiny_yaml], tmp_path, never)
