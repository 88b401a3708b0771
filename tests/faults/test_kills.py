"""Training that is killed at any moment, several times over, and ends in the very bytes of an undisturbed one."""

import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import warm_commands
from ensemble_uq_llm.run_folder import RunFolder

INTERVAL = 2
"""Steps between two checkpoints: what a kill may cost."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training: what differs from the tiny one, on how many devices and threads, and how many steps a group takes."""

    changes: dict[str, Any]
    devices: int = 1
    threads: int = 1

    def words(self, yaml: Path, run: Path) -> list[str]:
        changes = {"output_dir": json.dumps(str(run)), "checkpoint_steps": INTERVAL, "batch_size": 4} | self.changes
        return ["train", str(yaml), *(word for key, value in changes.items() for word in ("--set", f"{key}={value}"))]


BEST = {
    "num_epochs": 6, "gradient_accumulation_steps": 2, "lora_dropout": 0.2, "keep": "best", "learning_rate": 0.03,
    "early_stopping_patience": 2, "calibration_fraction": 0.5, "stopping_fraction": 0.5, "calibration_seed": 3,
}  # fmt: skip
JOBS = {
    "dropout, accumulation, best epochs": Job(changes=BEST),
    "half precision, trunk kept": Job(changes={"num_epochs": 3, "use_bf16": "true", "lora_layers": "[1]"}),
    "two lanes": Job(changes={"num_epochs": 3, "lora_dropout": 0.1, "tokens_per_pass": 300}, threads=2),
    "two devices": Job(changes={"num_epochs": 3, "seeds": "[42, 43, 44]", "lora_dropout": 0.1}, devices=2, threads=2),
}


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

    def start(self) -> warm_commands.Command:
        words = self.job.words(self.yaml, self.run)
        return warm_commands.start(words, logs=self.logs, devices=self.job.devices, threads=self.job.threads)

    def finish(self) -> None:
        command = self.start()
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


def lasting(folder: RunFolder) -> tuple[dict[str, bytes], dict[int, list[dict[str, Any]]]]:
    """Return what any training must agree in, killed or not: the members' files, and each group's events."""
    files = {
        path.relative_to(folder.root).as_posix(): path.read_bytes() for path in sorted(folder.root.glob("seed_*/*"))
    }
    told: dict[int, list[dict[str, Any]]] = {}
    for event in events_of(folder):
        if event["event"] != "Started":
            kept = {key: value for key, value in event.items() if key not in NOT_LASTING}
            told.setdefault(event["group"], []).append(kept)
    return files, told


NOT_LASTING = ("run", "time", "seconds", "tokens_per_second")


def last_steps(folder: RunFolder) -> dict[int, int]:
    return {each["group"]: each["step"] for each in events_of(folder) if each["event"] == "Stepped"}


@pytest.fixture
def sites(tiny_yaml: Path, other_data: Path, tmp_path: Path) -> Callable[[Job, str], Site]:
    text = re.sub(r"(?m)^validation_file: .*$", f"validation_file: {other_data}", tiny_yaml.read_text())
    tiny_yaml.write_text(text)
    return lambda job, name: Site(job=job, yaml=tiny_yaml, run=tmp_path / name, logs=tmp_path / "logs")


@pytest.mark.parametrize("name", JOBS)
def test_however_often_it_is_killed_the_members_are_the_same_to_the_byte(
    name: str, sites, rounds, tally, tmp_path: Path
) -> None:
    whole = sites(JOBS[name], "whole")
    whole.finish()
    expected, lines = lasting(whole.folder), lines_of(whole.folder.events)
    moments = random.Random(name)
    kills, runs, worst = 0, 0, 0
    wanted = rounds(2 if name == "two devices" else 6, 75)  # two devices take twice as long
    while kills < wanted:
        site = sites(JOBS[name], f"killed_{runs}")
        for at in sorted(moments.choices(range(lines + 1), k=min(wanted - kills, moments.choice((1, 2, 3))))):
            kills += site.kill_after(at, moments.uniform(0, 0.04))
            before, told = last_steps(site.folder), len(events_of(site.folder))
            worst = max([worst, *lost_steps(site, before)])
        site.finish()
        runs += 1
        assert lasting(site.folder) == expected, f"run {runs}, {told} events"
        assert len({event["run"] for event in events_of(site.folder)}) == 1
        assert not site.folder.checkpoints.exists()
        assert not list(site.run.rglob(".*")), "nothing is left of it"
        shutil.rmtree(site.run)
    assert worst <= INTERVAL
    tally(f"{kills} of {kills} kills in {runs} runs byte-identical, {worst} steps lost at most ({name})")


def lost_steps(site: Site, before: dict[int, int]) -> Iterator[int]:
    """Yield how many steps of each group that is not done must be taken again."""
    if site.folder.members():
        return
    kept = site.folder.kept_steps()
    for event in events_of(site.folder):
        if event["event"] == "Started":
            yield before.get(event["group"], 0) - kept.get(f"from_seed_{event['seeds'][0]}", 0)
