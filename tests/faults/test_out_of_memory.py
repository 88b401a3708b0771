"""The memory runs out at every place where a tensor is made, in turn: the same bytes come out, or a named error."""

import inspect
import itertools
import os
import re
import resource
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ensemble_uq_llm import Run, cli
from ensemble_uq_llm.errors import TooLittleMemoryError
from ensemble_uq_llm.models import memory, trunk
from ensemble_uq_llm.training import step

QUESTIONS = [{"question": f"is {number} even", "passage": f"The number {number}."} for number in range(5)]
WORDS: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError,
]


@dataclass(slots=True)
class Shortage:
    """Counts the places where a tensor is made; at those of `full` the memory is full, and says so in its words."""

    full: range = range(0)
    words: Callable[[], Exception] = MemoryError
    places: int = 0
    lock: Any = field(default_factory=Lock)

    def take(self) -> None:
        with self.lock:
            place = self.places
            self.places += 1
        if place in self.full:
            raise self.words()


class Allocations(TorchDispatchMode):
    """Asks a shortage before every operation of its thread that makes a tensor, those of backwards included."""

    def __init__(self, shortage: Shortage) -> None:
        super().__init__()
        self._shortage = shortage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = [each for each in func._schema.returns if each.alias_info is None and "Tensor" in str(each.type)]
        is_empty = func is torch.ops.aten.empty.memory_format and args[0] == [0]  # there is always room for nothing
        if made and not is_empty:
            self._shortage.take()
        return func(*args, **(kwargs or {}))


@contextmanager
def short_of_memory(shortage: Shortage) -> Iterator[None]:
    """Let a shortage rule in this thread, and in what pools of threads do meanwhile."""
    submit = ThreadPoolExecutor.submit

    def submit_under_it(pool: ThreadPoolExecutor, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        def under_it(*args: Any, **kwargs: Any) -> Any:
            with Allocations(shortage):
                return work(*args, **kwargs)

        return submit(pool, under_it, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, Allocations(shortage):
        patch.setattr(ThreadPoolExecutor, "submit", submit_under_it)
        yield


class Jobs:
    """Train, predict and ask: each gives the bytes that are its result, or raises TooLittleMemoryError."""

    def __init__(self, yaml: Path, trained: Path, capsys: Any, *overrides: str) -> None:
        self.yaml, self._trained, self._capsys = yaml, trained, capsys
        # So many tokens that smaller passes are the same passes.
        self._overrides = [word for each in (*overrides, "tokens_per_pass=1000000") for word in ("--set", each)]
        self.told = ""

    def train(self) -> bytes:
        self._command("train", self.yaml)
        return self.adapters()

    def adapters(self) -> bytes:
        members = (self.yaml.parent / "run").glob("seed_*/adapter_model.safetensors")
        return b"".join(path.read_bytes() for path in sorted(members))

    def predict(self) -> bytes:
        self._command("predict", self._trained)
        return Run(self._trained).predictions().logits_MNC.tobytes()

    def ask(self) -> bytes:
        return Run(self._trained).classifier().predict(QUESTIONS).member_probs_MNC.tobytes()

    def start_anew(self) -> None:
        shutil.rmtree(self.yaml.parent / "run", ignore_errors=True)
        shutil.rmtree(self._trained / "predictions", ignore_errors=True)

    def code_of(self, *arguments: object) -> int:
        """Run a command to its exit code; an error that is not named comes out as it is."""
        try:
            cli.main([*map(str, arguments), *self._overrides])
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    def _command(self, *arguments: object) -> None:
        code = self.code_of(*arguments)
        self.told = self._capsys.readouterr().err
        assert code in (0, 2), f"exit code {code}: {self.told}"
        if code == 2:
            raise TooLittleMemoryError(self.told)


def outcome_of(jobs: Jobs, job: Callable[[], bytes], shortage: Shortage, expected: dict[str, bytes]) -> str:
    """Do a job in a shortage, and where that ends it, once more without: tell how it ended, or fail."""
    jobs.start_anew()
    try:
        with short_of_memory(shortage):
            found = job()
    except TooLittleMemoryError as error:
        if not re.search(r"no memory is left|does not fit the memory", str(error)):
            raise AssertionError(f"place {shortage.full}: not what it is: {error}") from error
        if job() not in expected.values():
            raise AssertionError(f"place {shortage.full}: the same command gives other bytes afterwards") from error
        return "a named error"
    except Exception as error:
        raise AssertionError(f"place {shortage.full}: a traceback of {error!r}") from error
    way = "without a cache" if "layers below the adapters run anew" in jobs.told else "undisturbed"
    assert found == expected[way], f"place {shortage.full}: the bytes differ"
    return "the same bytes"


def expectations(jobs: Jobs, job: Callable[[], bytes]) -> dict[str, bytes]:
    """The bytes of a job in peace, and what they are where there is no memory for the trunk's cache."""
    jobs.start_anew()
    expected = {"undisturbed": job()}
    jobs.start_anew()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trunk, "free_bytes", lambda device: 0)
        expected["without a cache"] = job()
    return expected


def places_of(jobs: Jobs, job: Callable[[], bytes]) -> int:
    jobs.start_anew()
    counting = Shortage()
    with short_of_memory(counting):
        job()
    return counting.places


@pytest.fixture
def jobs(tiny_yaml: Path, own_run: Path, capsys: pytest.CaptureFixture[str]) -> Jobs:
    return Jobs(tiny_yaml, own_run, capsys, "lora_layers=[1]", "max_train_examples=12", "max_validation_examples=12")


@pytest.fixture
def lanes(request: pytest.FixtureRequest) -> Iterator[None]:
    """As many lanes as the test's parameter says."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


JOBS = ("train", "predict", "ask")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "lanes", "few"),
    [("train", 1, 4), ("train", 2, 4), ("predict", 2, 3), ("ask", 1, 3)],
    indirect=["lanes"],
)
def test_memory_that_is_full_once_costs_no_more_than_an_error(jobs, name, lanes, few, rounds, tally):
    """At 14 places in the short form, at every one in the long form."""
    job = getattr(jobs, name)
    expected, places = expectations(jobs, job), places_of(jobs, job)
    tried = np.unique(np.linspace(0, places - 1, rounds(few, places)).astype(int)).tolist()
    outcomes = [
        outcome_of(jobs, job, Shortage(full=range(place, place + 1), words=words), expected)
        for place, words in zip(tried, itertools.cycle(WORDS), strict=False)
    ]
    tally(f"{name}: {len(outcomes)} of {len(tried)} places, {outcomes.count('the same bytes')} with the same bytes")
    assert len(set(outcomes)) == 2, outcomes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", JOBS)
def test_memory_that_stays_full_is_told_in_a_named_error(jobs, name, rounds, tally):
    """No answer to the first shortage may need memory itself without being ready for the next."""
    job = getattr(jobs, name)
    expected, places = expectations(jobs, job), places_of(jobs, job)
    tried = np.unique(np.linspace(0, places - 1, rounds(2, places // 4)).astype(int)).tolist()
    for place, words in zip(tried, itertools.cycle(WORDS), strict=False):
        assert outcome_of(jobs, job, Shortage(full=range(place, 10**9), words=words), expected) == "a named error"
    tally(f"{name}: {len(tried)} of {len(tried)} shortages that stayed, named")


@pytest.mark.filterwarnings("ignore")
def test_the_harness_sees_an_error_that_is_not_named(jobs, monkeypatch):
    """A planted fault: one who does not know the words of a full memory."""
    expected, middle = expectations(jobs, jobs.train), places_of(jobs, jobs.train) // 2
    monkeypatch.setattr(memory, "is_out_of_memory", lambda error: False)
    with pytest.raises(AssertionError, match=r"a traceback of OutOfMemoryError\('CUDA out of memory"):
        outcome_of(jobs, jobs.train, Shortage(full=range(middle, middle + 1), words=WORDS[0]), expected)


@pytest.mark.filterwarnings("ignore")
def test_the_harness_sees_an_attempt_that_is_not_undone(jobs, monkeypatch):
    """A planted fault: what an attempt has added to the gradients stays there when it is made again."""
    expected, places = expectations(jobs, jobs.train), places_of(jobs, jobs.train)
    accumulate, attempts = step._accumulate, []

    def keep_what_is_there(trainer, rows_by_member, *, budget):
        if len(attempts) > trainer.state.steps:
            monkeypatch.setattr(trainer.state.optimizer, "zero_grad", lambda **_: None)
        attempts.append(budget)
        return accumulate(trainer, rows_by_member, budget=budget)

    monkeypatch.setattr(step, "_accumulate", keep_what_is_there)

    def try_places():
        for place in range(places // 2, places, 25):
            attempts.clear()
            outcome_of(jobs, jobs.train, Shortage(full=range(place, place + 1)), expected)

    with pytest.raises(AssertionError, match="the bytes differ"):
        try_places()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lanes", [2], indirect=True)
def test_the_harness_reaches_backwards_and_every_lane(jobs, lanes, monkeypatch):
    """Places are counted in the threads of lanes too, and in what autograd calls."""
    names, take = set(), Shortage.take

    def note(shortage):
        frame = inspect.currentframe()
        while frame is not None:
            names.add((threading.current_thread().name.split("_")[0], frame.f_code.co_name))
            frame = frame.f_back
        take(shortage)

    monkeypatch.setattr(Shortage, "take", note)
    places_of(jobs, jobs.train)
    assert {("lane", "forward"), ("lane", "backward")} <= names
    assert {"load_decoder", "initialise_member", "train_step", "save_members"} <= {
        name for thread, name in names if thread == "MainThread"
    }


def train_with(megabytes: float, jobs: Jobs, told: Path) -> int:
    """Train in a fork of this process that gets so many megabytes more than it has; returns how it ended."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            with told.open("w") as sys.stderr:
                sys.stdout = sys.stderr
                limit = psutil.Process().memory_info().vms + int(megabytes * 2**20)
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
                code = jobs.code_of("train", jobs.yaml)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore")
def test_a_machine_without_memory_gets_the_same_bytes_or_a_named_error(
    tiny_yaml, own_run, capsys, tmp_path, rounds, tally
):
    """No injection: the system refuses, and adapters of a high rank want hundreds of megabytes."""
    jobs = Jobs(tiny_yaml, own_run, capsys, "lora_r=40000", "max_train_examples=12", "max_validation_examples=12")
    codes, results, told = [], set(), tmp_path / "told"
    for megabytes in np.geomspace(0.25, 512, rounds(1, 40)):
        jobs.start_anew()
        codes.append(train_with(megabytes, jobs, told))
        if codes[-1] == 2:
            assert told.read_text().splitlines()[-1].startswith("error: "), told.read_text()
            assert "Traceback" not in told.read_text()
            assert not jobs.adapters(), "a run that failed has left members"
        else:
            assert codes[-1] == 0, told.read_text()
            results.add(jobs.adapters())
    tally(f"{len(codes)} of {len(codes)} limits of the address space, {codes.count(0)} with the same bytes")
    assert 2 in codes
    jobs.start_anew()  # only now: what this process has once freed, its forks have beyond their limit
    assert results <= {jobs.train()} if results else len(codes) == 1


def test_commands_without_torch_name_a_full_memory_too(tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(cli, "load", full)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["predict", str(tmp_path)])
    assert capsys.readouterr().err.startswith("error: no memory is left; use a machine with more")
