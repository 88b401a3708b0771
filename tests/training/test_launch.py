"""Shares on one device in this process, and on several in processes of their own: CPUs stand for the GPUs."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import MembersFailedError, ModelError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training import launch
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import Ended, Event, MembersLost, Started
from ensemble_uq_llm.training.keeping.checkpoints import Checkpoints
from ensemble_uq_llm.training.keeping.groups import spread
from ensemble_uq_llm.training.keeping.made_with import MadeWith
from ensemble_uq_llm.training.launch import train_shares
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.outcomes import Digests, read_member_record
from ensemble_uq_llm.training.share import Share, train_share
from small_runs import settings

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
ABSENT_GPU = torch.device("cuda", 99)


def shares_of(config: Config, *, devices: list[torch.device], base: Path) -> list[Share]:
    job = Job(config)
    tokenizer = load_tokenizer(base)
    data = TrainingData(train=job.train.tokens(tokenizer), validation=job.validation.tokens(tokenizer))
    # A worker that wanted to load the data itself would find none.
    config = config.model_copy(update={"train_file": Path("absent"), "validation_file": Path("absent")})
    config.output_dir.mkdir()
    return [
        Share(
            config=config,
            seeds=seeds,
            device=device,
            base=base,
            data=data,
            digests=Digests(data="d", base="b"),
            group=group,
            checkpoints=Checkpoints(
                folder=RunFolder(config.output_dir).group_checkpoints(seeds[0]),
                making=MadeWith(must_agree={}, environment={}),
            ),
        )
        for group, (seeds, device) in enumerate(zip(spread(config.seeds, len(devices)), devices, strict=True))
    ]


@pytest.fixture
def shares(tiny_base: Path, tiny_data: Path, tmp_path: Path):
    """Make the shares of three members over devices, in a run folder of that name."""

    def make(name: str, *devices: torch.device, **changes: object) -> list[Share]:
        config = settings(tiny_base, tiny_data, tmp_path / name, use_bf16=True, **changes)
        return shares_of(config, devices=list(devices), base=tiny_base)

    return make


def adapter(run: Path, seed: int) -> Path:
    return RunFolder(run).member(MemberId(seed)) / "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("parts", "expected"), [(1, [(1, 2, 3, 4, 5)]), (2, [(1, 3, 5), (2, 4)]), (9, [(1,), (2,), (3,), (4,), (5,)])]
)
def test_shares_are_even_and_never_empty(parts: int, expected: list[tuple[int, ...]]) -> None:
    assert spread([1, 2, 3, 4, 5], parts) == expected


def test_a_share_trains_and_saves_just_its_seeds_in_their_order(shares) -> None:
    [share] = shares("run", CPU, seeds=(3, 1))
    events: list[Event] = []
    outcomes = train_share(share, listeners=[events.append])
    assert [outcome.seed for outcome in outcomes] == [3, 1]
    folder = RunFolder(share.config.output_dir)
    assert folder.members() == list(trained([1, 3]))
    assert read_member_record(folder, MemberId(3)).data_digest == "d"
    assert isinstance(events[0], Started)
    assert events[0].seeds == (3, 1)
    assert isinstance(events[-1], Ended)


@pytest.fixture
def workers_err(capfd) -> Callable[[], str]:
    """Return what workers print from here on: they print to where their server did when it started."""
    forkserver._forkserver._stop()  # made for tests
    return lambda: capfd.readouterr().err


def test_workers_that_die_or_raise_are_told_and_the_others_members_are_kept(shares, workers_err) -> None:
    killed, raising, well = shares("run", CPU, ABSENT_GPU, CPU, seeds=(1, 2, 3, 4))
    killed = replace(killed, config=killed.config.model_copy(update={"num_epochs": 10_000}))
    events: list[Event] = []

    def kill(event: Event) -> None:
        events.append(event)
        if event.group == 0 and isinstance(event, Started):
            [process] = [each for each in multiprocessing.active_children() if each.name == "training of group 0"]
            os.kill(process.pid, signal.SIGKILL)

    outcomes, lost = train_shares([killed, raising, well], listeners=[kill])
    assert [outcome.seed for outcome in outcomes] == [3]
    assert adapter(well.config.output_dir, 3).exists()
    of_killed, of_raising = sorted(lost, key=lambda each: each.seeds)
    assert (of_killed.seeds, of_killed.device, type(of_killed.error)) == ((1, 4), "cpu", MembersFailedError)
    reason = "its process was ended by SIGKILL, as the system does where memory runs out"
    assert str(of_killed.error) == reason
    assert MembersLost(group=0, seeds=(1, 4), device="cpu", reason=reason) in events
    assert (of_raising.seeds, of_raising.device, type(of_raising.error)) == ((2,), "cuda:99", MembersFailedError)
    kind, _, rest = str(of_raising.error).partition(":")
    assert rest.endswith("(its traceback is above)")
    assert f"\n{kind}: " in workers_err()
    assert multiprocessing.active_children() == []


def test_a_worker_that_ends_without_a_word(shares, monkeypatch, workers_err) -> None:
    """A script without a guard ends so: in its workers it starts anew, which Python refuses."""
    monkeypatch.setattr(launch, "_work", os._exit)  # which takes a number, not pipes
    outcomes, lost = train_shares(shares("run", CPU, CPU))
    assert outcomes == []
    assert sorted(each.seeds for each in lost) == [(1, 3), (2,)]
    for each in lost:
        assert type(each.error) is MembersFailedError
        assert "ended by itself with exit code 1; what it printed says why. A script that" in str(each.error)
    assert workers_err().count("TypeError") == 2


def test_a_worker_hands_back_an_error_of_the_users_as_it_is(shares, tiny_base, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(launch, "_obey", lambda _: None)  # which ends the process with the one that has started it
    (tmp_path / "bare").mkdir()
    shutil.copy(tiny_base / "config.json", tmp_path / "bare")
    [share] = shares("run", CPU)
    ours, theirs = multiprocessing.Pipe()
    ours.send((replace(share, base=tmp_path / "bare"), torch.get_num_threads()))
    pulled, _leash = multiprocessing.Pipe(duplex=False)
    launch._work(theirs, pulled)
    assert ours.recv() == "ready"
    error = ours.recv()
    assert type(error) is ModelError
    assert "no model.safetensors and no model.safetensors.index.json in" in str(error)
    assert not list(share.config.output_dir.iterdir())


TWO_CPUS = """
import torch
from ensemble_uq_llm.utils import device
device.devices_of = lambda wanted, *, num_gpus: [torch.device("cpu")] * 2
torch.set_num_threads(4)
"""
"""What Python runs before the door does: this machine has two devices, and four threads."""


@pytest.fixture
def two_cpus(tmp_path: Path) -> dict[str, str]:
    """An environment in which every configuration has two CPUs as its devices."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TWO_CPUS)
    source = Path(sys.modules["ensemble_uq_llm"].__file__).parents[1]
    return os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{source}", "HF_HUB_OFFLINE": "1"}


def test_the_door_trains_on_two_devices_what_one_trains(
    tiny_yaml: Path, other_data: Path, two_cpus, tmp_path: Path
) -> None:
    """Members byte for byte, progress of both, one log, and half of the threads each."""
    text = re.sub(r"(?m)^validation_file: .*$", f"validation_file: {other_data}", tiny_yaml.read_text())
    tiny_yaml.write_text(text.replace("use_bf16: false", "use_bf16: true").replace("43]", "43, 44]"))
    run = subprocess.run(
        [sys.executable, "main.py", "train", "--config", tiny_yaml],
        cwd=ROOT, env=two_cpus, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    train(load_config(tiny_yaml, [f"output_dir={tmp_path / 'one'}"]))
    for seed in (42, 43, 44):
        assert adapter(tmp_path / "run", seed).read_bytes() == adapter(tmp_path / "one", seed).read_bytes()
    lines = run.stdout.splitlines()
    begun = [line.partition(" member")[0] for line in lines if line.startswith("training ")]
    assert sorted(begun) == ["training 1", "training 2"]
    assert [line.partition(":")[0] for line in lines if line.startswith(("step ", "epoch "))] == [
        "step 1/3", "step 2/3", "step 3/3", "epoch 1",
    ]  # fmt: skip
    records = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    started = {each["group"]: (each["seeds"], each["device"]) for each in records if each["event"] == "Started"}
    assert started == {0: ([42, 44], "CPU, 2 threads"), 1: ([43], "CPU, 2 threads")}
    for group, (seeds, _) in started.items():
        own = [each for each in records if each["group"] == group]
        assert [each["event"] for each in own] == ["Started", *["Stepped"] * 3, "EpochEnded", "Ended"]
        assert all(each["losses"].keys() == set(map(str, seeds)) for each in own[1:4])


def test_ctrl_c_ends_the_door_and_its_workers(tiny_yaml: Path, other_data: Path, two_cpus, tmp_path: Path) -> None:
    text = re.sub(r"(?m)^validation_file: .*$", f"validation_file: {other_data}", tiny_yaml.read_text())
    tiny_yaml.write_text(text.replace("num_epochs: 1", "num_epochs: 100000"))
    door = subprocess.Popen(
        [sys.executable, "main.py", "train", "--config", tiny_yaml],
        cwd=ROOT, env=two_cpus, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    events = RunFolder(tmp_path / "run").events
    while door.poll() is None and not (events.exists() and len(groups_that_stepped(events)) == 2):
        time.sleep(0.1)
    os.killpg(door.pid, signal.SIGINT)  # as a terminal does: the workers are asked too
    _, error = door.communicate(timeout=60)
    assert door.returncode == 75
    steps = max(RunFolder(tmp_path / "run").kept_steps().values())
    assert re.search(
        rf"^error: stopped by SIGINT; kept in .*run: training up to step .*{steps:,}; continue with: ", error
    )
    assert error.count("\n") == 1
    while door_has_processes(door.pid):  # multiprocessing's own helper ends by itself a moment later
        time.sleep(0.1)


def door_has_processes(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def groups_that_stepped(events: Path) -> set[int]:
    records = [json.loads(line) for line in events.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {record["group"] for record in records if record["event"] == "Stepped"}


@pytest.mark.parametrize("script", ["main.py", "infer.py", "src/ensemble_uq_llm/__main__.py"])
def test_importing_a_door_does_nothing(script: str) -> None:
    """A spawned process imports the script that started it, under this name."""
    code = f"import runpy, sys; sys.argv[1:] = ['--nonsense']; runpy.run_path({script!r}, run_name='__mp_main__')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
