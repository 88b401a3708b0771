"""Several processes and one run folder: one owner, which the others are told; whoever reads sees whole files."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import EnsembleUQError, OwnedError
from ensemble_uq_llm.report.source import read_sets
from ensemble_uq_llm.run import Run
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage import lock
from ensemble_uq_llm.storage.change import STAGING, change_of
from ensemble_uq_llm.storage.manifest import read_manifest
from recorded_disk import tree_of
from small_commands import command, without_flushing


@contextmanager
def forked(doing: Callable[[], None]) -> Iterator[int]:
    """Do something in a fork of this process, which is ended at last; its number."""
    process = os.fork()
    if not process:
        code = 1
        try:
            doing()
            code = 0
        finally:
            os._exit(code)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def wait_for(path: Path) -> None:
    """Wait until something is there."""
    for _ in range(2000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} has not appeared")


@contextmanager
def owner_of(run: Path, sign: Path, doing: str = "train") -> Iterator[int]:
    """Another process that owns a run; its number."""

    def hold() -> None:
        with RunFolder(run).owned(doing):
            sign.touch()
            time.sleep(600)

    with forked(hold) as process:
        wait_for(sign)
        yield process


def commands_that_write(run: Path) -> list[list[str]]:
    own = ["--set", f"output_dir={run}"]
    on_config = [[name, str(run), *own] for name in ("train", "predict", "run")]
    return [*on_config, ["evaluate", str(run), "--draws", "100"], ["report", str(run)]]


def test_who_writes_is_told_the_owner_and_who_reads_is_not(own_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tree_of(own_run)
    with owner_of(own_run, tmp_path / "sign", "train") as process:
        for arguments in commands_that_write(own_run):
            told = command(*arguments)
            assert told.code == 2, told
            assert f"in use by train, process {process} on {socket.gethostname()}, since 20" in told.text
        for arguments in (["report", str(own_run), "--json"], ["report", str(own_run), "--format", "csv"],
                          ["compare", str(own_run), str(own_run)]):  # fmt: skip
            assert command(*arguments).code == 0, arguments
        assert Run(own_run).predictions("validation").ids
        assert set(tree_of(own_run)) - set(before) == {".lock"}
    with without_flushing():
        assert command("report", str(own_run)).code == 0
    assert not (own_run / ".lock").exists()


def _take_turns(folder: Path, log: Path, turns: int) -> None:
    """Own a folder so many times, and write down when it begins and when it ends."""
    for _ in range(turns):
        while True:
            try:
                with RunFolder(folder).owned("turn"), log.open("ab", buffering=0) as stream:
                    stream.write(b"(")
                    time.sleep(0.001)
                    stream.write(b")")
                break
            except OwnedError:
                time.sleep(0.0005)


def _turns(folder: Path, turns: int) -> bytes:
    log = folder.with_name("log")
    with forked(lambda: _take_turns(folder, log, turns)), forked(lambda: _take_turns(folder, log, turns)):
        _take_turns(folder, log, turns)
        while log.stat().st_size < 6 * turns:
            time.sleep(0.01)
    return log.read_bytes()


def test_never_two_owners(fast_folder, rounds, tally):
    turns = rounds(20, 200)
    assert _turns(fast_folder / "run", turns) == b"()" * 3 * turns
    run = fast_folder / "run"
    assert not run.exists() or list(run.iterdir()) == []  # nobody has written anything
    tally(f"{3 * turns} of {3 * turns} turns of three processes had one owner")


def test_two_owners_would_be_seen(fast_folder, monkeypatch):
    monkeypatch.setattr(lock, "_lock", lambda *_, **__: True)
    monkeypatch.setattr(lock, "_release", lambda own: os.close(own.descriptor))
    (fast_folder / "two").mkdir()
    assert b"((" in _turns(fast_folder / "two" / "run", 20)


def test_an_owner_that_was_killed_is_in_nobodys_way(fast_folder, rounds, tally):
    folder = RunFolder(fast_folder / "killed")
    count = rounds(20, 200)
    for number in range(count):
        sign = fast_folder / f"sign {number}"

        def write(sign: Path = sign) -> None:
            with folder.owned("train"), folder.change() as change:
                (change.root / "report.html").write_text("half", encoding="utf-8")
                sign.touch()
                time.sleep(600)

        with forked(write):
            wait_for(sign)
            with pytest.raises(OwnedError, match="in use by train"), folder.owned("report"):
                raise AssertionError
        assert (folder.root / ".lock").exists()
        with folder.owned("report"):
            assert not (folder.root / STAGING).exists()
        assert list(folder.root.iterdir()) == []
    tally(f"{count} of {count} killed owners were in nobody's way")


def _rewrite(run: Path, versions: list[dict[str, bytes]], times: int) -> None:
    folder = RunFolder(run)
    with folder.owned("evaluate"):
        for number in range(times):
            with folder.change() as change:
                for path, content in versions[number % 2].items():
                    (change.root / path).parent.mkdir(exist_ok=True)
                    (change.root / path).write_bytes(content)


def _rewrite_in_place(run: Path, versions: list[dict[str, bytes]], times: int) -> None:
    for number in range(times):
        for path, content in versions[number % 2].items():
            with (run / path).open("wb", buffering=0) as stream:
                stream.write(content[: len(content) // 2])
                time.sleep(0.002)
                stream.write(content[len(content) // 2 :])


def _torn_reads(run: Path, writing: Callable[..., None], times: int) -> tuple[int, int]:
    """How many reads beside a writer failed, of how many of four readers."""
    paths = [path.relative_to(run).as_posix() for path in run.glob("*/*.*") if path.suffix in (".json", ".csv")]
    paths = [path for path in paths if not path.startswith("seed_")]
    versions = [{path: (run / path).read_bytes() for path in paths}]
    assert command("evaluate", str(run), "--draws", "100", "--seed", "7").code == 0
    versions.append({path: (run / path).read_bytes() for path in paths})
    log = run.with_name("reads")

    def read() -> None:
        folder = RunFolder(run)
        with log.open("ab", buffering=0) as stream:
            while True:
                try:
                    read_sets(folder)
                    whole = all(folder.read(run / path) in [each[path] for each in versions] for path in paths)
                except EnsembleUQError:
                    whole = False
                stream.write(b"." if whole else b"!")

    with forked(read), forked(read), forked(read), forked(read):
        wait_for(log)
        writing(run, versions, times)
    reads = log.read_bytes()
    return reads.count(b"!"), len(reads)


def test_readers_beside_a_writer_see_whole_files(own_run, rounds, tally):
    times = rounds(20, 200)
    torn, reads = _torn_reads(own_run, _rewrite, times)
    assert (torn, reads > times) == (0, True)
    tally(f"{torn} of {reads} reads beside {times} changes were torn")


def test_a_torn_read_would_be_seen(own_run):
    torn, _ = _torn_reads(own_run, _rewrite_in_place, 10)
    assert torn


def test_no_change_of_several_workers_is_lost(fast_folder, rounds, tally):
    """The workers of a training write into their parent's folder side by side."""
    folder, count = fast_folder / "workers", rounds(15, 150)

    def work(name: str) -> None:
        for number in range(count):
            with change_of(folder) as change:
                (change.root / f"{name}_{number}").write_text(name, encoding="utf-8")

    folder.mkdir()
    processes = []
    for name in ("a", "b", "c"):
        processes.append(os.fork())
        if not processes[-1]:
            code = 1
            try:
                with without_flushing():
                    work(name)
                code = 0
            finally:
                os._exit(code)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    assert codes == [0, 0, 0]
    manifest = read_manifest(folder)
    assert manifest is not None
    assert set(manifest.files) == {f"{name}_{number}" for name in "abc" for number in range(count)}
    assert not (folder / STAGING).exists()
    tally(f"{3 * count} of {3 * count} changes by three processes at once are there")
