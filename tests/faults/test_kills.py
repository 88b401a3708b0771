"""Training that is killed at any moment, several times over, and ends in the very bytes of an undisturbed one."""

import json
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import warm_commands
from ensemble_uq_llm.report.training_log import MemberLog, read_training_log
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training import step
from ensemble_uq_llm.training.events import EventLog
from ensemble_uq_llm.training.state import Snapshot, TrainingState

INTERVAL = 2
"""Steps between two checkpoints: what a kill may cost."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training: what differs from the tiny one, on how many devices and threads, and how many steps a group takes."""

    changes: dict[str, Any]
    devices: int = 1
    threads: int = 1
    first: dict[str, Any] | None = None
    """What differs in a training that is there before, whose members this one joins."""

    def words(self, yaml: Path, run: Path, *more: dict[str, Any]) -> list[str]:
        changes = {"output_dir": json.dumps(str(run)), "checkpoint_steps": INTERVAL, "batch_size": 4} | self.changes
        for each in more:
            changes |= each
        return ["train", str(yaml), *(word for key, value in changes.items() for word in ("--set", f"{key}={value}"))]


BEST = {
    "num_epochs": 6, "gradient_accumulation_steps": 2, "lora_dropout": 0.2, "keep": "best", "learning_rate": 0.03,
    "early_stopping_patience": 2, "calibration_fraction": 0.5, "stopping_fraction": 0.5, "calibration_seed": 3,
}  # fmt: skip
JOBS = {
    "dropout, accumulation, best epochs": Job(changes=BEST),
    "half precision, trunk kept, rows left out": Job(
        changes={"num_epochs": 3, "use_bf16": "true", "lora_layers": "[1]", "bootstrap": "balanced"}
    ),
    "two lanes": Job(changes={"num_epochs": 3, "lora_dropout": 0.1, "tokens_per_pass": 300}, threads=2),
    "members added to a finished run": Job(
        changes={"num_epochs": 2, "seeds": "[42, 43, 44]", "lora_dropout": 0.1}, first={"seeds": "[42]"}
    ),
    "two devices": Job(changes={"num_epochs": 3, "seeds": "[42, 43, 44]", "lora_dropout": 0.1}, devices=2, threads=2),
}


SHORT = dict.fromkeys(JOBS, 5) | {"members added to a finished run": 3, "two devices": 2}
"""Kills in the short form."""


@dataclass(kw_only=True)
class Site:
    """Where a job is done, and how it is begun, killed and continued."""

    job: Job
    yaml: Path
    run: Path
    logs: Path

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run)

    def start(self, *more: dict[str, Any], before: Callable[[], object] = list) -> warm_commands.Command:
        words = self.job.words(self.yaml, self.run, *more)
        return warm_commands.start(
            words, logs=self.logs, devices=self.job.devices, threads=self.job.threads, before=before
        )

    def begin(self) -> "Site":
        """Train what is there before."""
        if self.job.first is not None:
            assert self.start(self.job.first).wait() == 0
        return self

    def finish(self, *, before: Callable[[], object] = list) -> None:
        command = self.start(before=before)
        assert command.wait() == 0, command.err.read_text()

    def kill_after(self, lines: int, pause: float) -> bool:
        """Kill the whole of it so many seconds after its log has so many lines; False where it has ended before."""
        command = self.start()
        command.when(lambda: lines_of(self.folder.events) >= lines)
        time.sleep(pause)
        was_alive = command.process.is_alive()
        command.process.kill()
        command.process.join()
        return was_alive


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def events_of(folder: RunFolder) -> list[dict[str, Any]]:
    if not folder.events.exists():
        return []
    lines = folder.events.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def lasting(folder: RunFolder) -> tuple[dict[str, bytes], list[dict[int, list[dict[str, Any]]]], dict[int, MemberLog]]:
    """Return what any training must agree in, killed or not.

    That is the members' files, each group's events, training by training, and the curves that the report draws.
    """
    files = {
        path.relative_to(folder.root).as_posix(): path.read_bytes() for path in sorted(folder.root.glob("seed_*/*"))
    }
    trainings: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for event in events_of(folder):
        if event["event"] != "Started":
            kept = {key: value for key, value in event.items() if key not in NOT_LASTING}
            trainings.setdefault(event["run"], {}).setdefault(event["group"], []).append(kept)
    curves = read_training_log(folder.events, [member.seed for member in folder.members()])
    return files, [*trainings.values()], curves


NOT_LASTING = ("run", "time", "seconds", "tokens_per_second")


def last_steps(folder: RunFolder) -> dict[tuple[str, int], int]:
    return {(each["run"], each["group"]): each["step"] for each in events_of(folder) if each["event"] == "Stepped"}


@pytest.fixture
def sites(tiny_yaml: Path, other_data: Path, tmp_path: Path) -> Callable[[Job, str], Site]:
    text = re.sub(r"(?m)^validation_file: .*$", f"validation_file: {other_data}", tiny_yaml.read_text())
    tiny_yaml.write_text(text)
    return lambda job, name: Site(job=job, yaml=tiny_yaml, run=tmp_path / name, logs=tmp_path / "logs")


@pytest.mark.parametrize("name", JOBS)
def test_however_often_it_is_killed_the_members_are_the_same_to_the_byte(
    name: str, sites, rounds, tally, tmp_path: Path
) -> None:
    whole = sites(JOBS[name], "whole").begin()
    least = lines_of(whole.folder.events)
    whole.finish()
    expected, lines = lasting(whole.folder), lines_of(whole.folder.events)
    moments = random.Random(name)
    kills, runs, worst = 0, 0, 0
    wanted = rounds(SHORT[name], 60)
    while kills < wanted:
        site = sites(JOBS[name], f"killed_{runs}").begin()
        for at in sorted(moments.choices(range(least, lines + 1), k=min(wanted - kills, moments.choice((1, 2, 3))))):
            kills += site.kill_after(at, moments.uniform(0, 0.04))
            worst = max([worst, *lost_steps(site.folder)])
        told = len(events_of(site.folder))
        site.finish()
        runs += 1
        assert lasting(site.folder) == expected, f"run {runs}, {told} events"
        assert not site.folder.checkpoints.exists()
        assert not list(site.run.rglob(".*")), "nothing is left of it"
        shutil.rmtree(site.run)
    assert worst <= INTERVAL
    tally(f"{kills} of {kills} kills in {runs} runs byte-identical, {worst} steps lost at most ({name})")


def lost_steps(folder: RunFolder) -> Iterator[int]:
    """Yield how many steps of each group that is not done must be taken again."""
    kept, taken = folder.kept_steps(), last_steps(folder)
    done = {member.seed for member in folder.members()}
    for event in events_of(folder):
        if event["event"] == "Started" and not done & set(event["seeds"]):
            yield taken.get((event["run"], event["group"]), 0) - kept.get(f"from_seed_{event['seeds'][0]}", 0)


def test_a_group_whose_process_is_killed_is_trained_by_the_same_command(sites, tally) -> None:
    job = Job(changes={"num_epochs": 6, "seeds": "[42, 43, 44]", "lora_dropout": 0.1}, devices=2, threads=2)
    whole, site = sites(job, "whole"), sites(job, "lost")
    whole.finish()
    command = site.start()
    assert command.when(lambda: len(site.folder.kept_steps()) == job.devices)
    [lost, _] = warm_commands.workers_beside(command)
    lost.kill()
    assert command.wait() == 4, command.err.read_text()
    assert "its process was ended by SIGKILL" in command.err.read_text()
    assert site.folder.members(), "the other group's are saved"
    assert len(site.folder.kept_steps()) == 1
    site.finish()
    assert lasting(site.folder) == lasting(whole.folder)


def forget_moments() -> None:
    after_restoring(lambda state: state.optimizer.state.clear())


def forget_the_schedule() -> None:
    after_restoring(lambda state: setattr(state.schedule, "last_epoch", 0))


def forget_the_place_in_the_epoch() -> None:
    after_restoring(lambda state: setattr(state, "steps_in_epoch", 0))


def forget_the_best_epoch() -> None:
    after_restoring(lambda state: [each.stopping_losses.clear() for each in state.outcomes])


def forget_the_place_in_dropout() -> None:
    original = step._dropout_generators
    step._dropout_generators = lambda ensemble, at, device: original(ensemble, at - 3, device)


def forget_what_is_undone_in_the_log() -> None:
    EventLog._go_on = lambda *_: None


def after_restoring(forget: Callable[[TrainingState], object]) -> None:
    original = TrainingState.restore

    def restore(state: TrainingState, snapshot: Snapshot) -> None:
        original(state, snapshot)
        forget(state)

    TrainingState.restore = restore


PLANTED = (
    forget_moments, forget_the_schedule, forget_the_place_in_the_epoch, forget_the_best_epoch,
    forget_the_place_in_dropout, forget_what_is_undone_in_the_log,
)  # fmt: skip


def test_whatever_a_resumed_training_forgets_is_seen(sites) -> None:
    """The judge of kills finds every planted fault, and none where nothing is planted."""
    job = Job(changes=BEST | {"checkpoint_steps": 3})
    whole, killed = sites(job, "whole"), sites(job, "killed")
    whole.finish()
    expected = lasting(whole.folder)
    in_the_sixth_step = warm_commands.SignalAt(number=signal.SIGKILL, place="training.epochs:train_step", call=6)
    assert killed.start(before=in_the_sixth_step).wait() == -signal.SIGKILL
    assert [*lost_steps(killed.folder)] == [2], "the third is kept, in the middle of an epoch"
    for fault in (list, *PLANTED):
        site = sites(job, fault.__name__)
        shutil.copytree(killed.run, site.run)
        site.finish(before=fault)
        assert (lasting(site.folder) == expected) == (fault is list), fault.__name__
