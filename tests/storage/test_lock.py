import errno
import fcntl
import json
import os
import re
import shutil
import threading
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import OwnedError, StorageError
from ensemble_uq_llm.storage.change import change_of
from ensemble_uq_llm.storage.lock import LOCK, alone, check_still_owned, owned
from ensemble_uq_llm.storage.sealed_folder import new_sealed_folder


def in_thread(doing):
    """What something raises in another thread, or None."""
    raised = []

    def run():
        try:
            doing()
        except Exception as error:  # noqa: BLE001 (handed over)
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def in_fork(doing):
    """The exit code of a fork of this process that does something."""
    process = os.fork()
    if not process:
        code = 1
        try:
            code = doing() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def take(folder):
    with owned(folder, "look"):
        pass


def is_refused(folder):
    try:
        take(folder)
    except OwnedError:
        return 7
    return 0


def test_the_owner_tells_who_it_is(tmp_path):
    with owned(tmp_path, "train") as is_new:
        assert is_new
        told = json.loads((tmp_path / LOCK).read_bytes())
        assert (told["doing"], told["pid"]) == ("train", os.getpid())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["since"])
    assert list(tmp_path.iterdir()) == []


def test_stages_within_stages_own_it_together(tmp_path):
    with owned(tmp_path, "run"):
        with owned(tmp_path / ".", "train") as is_new:
            assert not is_new
        assert in_fork(lambda: is_refused(tmp_path)) == 7
    assert in_fork(lambda: is_refused(tmp_path)) == 0


def test_another_thread_is_told_and_may_own_it_afterwards(tmp_path):
    with owned(tmp_path, "train"):
        error = in_thread(lambda: take(tmp_path))
        assert isinstance(error, OwnedError)
        assert f"in use by train, process {os.getpid()} on " in str(error)
        assert in_thread(lambda: take(tmp_path / "another")) is None
    assert in_thread(lambda: take(tmp_path)) is None


def test_a_fork_of_the_owner_is_none(tmp_path):
    with owned(tmp_path, "train"):
        assert in_fork(lambda: is_refused(tmp_path)) == 7
        assert (tmp_path / LOCK).exists()
        assert isinstance(in_thread(lambda: take(tmp_path)), OwnedError)


def test_a_fork_that_leaves_takes_nothing_along(tmp_path):
    with owned(tmp_path, "train"):
        process = os.fork()
        if process:
            assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
            assert (tmp_path / LOCK).exists()
            assert in_fork(lambda: is_refused(tmp_path)) == 7
    if not process:
        os._exit(0)


def test_a_folder_that_was_made_for_nothing_goes(tmp_path):
    with owned(tmp_path / "a" / "run", "train"):
        assert (tmp_path / "a" / "run" / LOCK).exists()
    assert not (tmp_path / "a" / "run").exists()
    with owned(tmp_path / "a" / "run", "train"):
        (tmp_path / "a" / "run" / "file").touch()
    assert (tmp_path / "a" / "run" / "file").exists()


@pytest.mark.parametrize(
    "content", [b"", b'{"doi', b'{"doing": "tra', b'{"doing": "train", "pid": 1, "host": "h", "since": "s"}']
)
def test_what_a_dead_owner_has_left_is_taken_over(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    with owned(tmp_path, "evaluate"):
        assert json.loads((tmp_path / LOCK).read_bytes())["doing"] == "evaluate"
    assert not (tmp_path / LOCK).exists()


def test_somebody_elses_file_is_left_alone(tmp_path):
    (tmp_path / LOCK).write_text("mine", encoding="utf-8")
    with pytest.raises(
        StorageError, match=r"\.lock: a file that this program did not write, and it is not overwritten"
    ):
        take(tmp_path)
    assert (tmp_path / LOCK).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"doing": 1}', b"\xff", b"[" * 4000,
                                     b'{"doing": "\\u001b[31m", "pid": 1, "host": "h", "since": "s"}'])  # fmt: skip
def test_an_owner_that_does_not_say_who_it_is(tmp_path, content):
    with (tmp_path / LOCK).open("wb") as stream:
        stream.write(content)
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(OwnedError, match="in use by another process; wait for it or end it"):
            take(tmp_path)


@pytest.mark.parametrize("made", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_place_that_no_lock_can_have(tmp_path, made):
    made(tmp_path / LOCK)
    with pytest.raises(StorageError, match=r"\.lock: a .*, where a file is to be written"):
        take(tmp_path)


def test_a_folder_that_takes_no_file_is_no_endless_wait(tmp_path, monkeypatch):
    def refuse(path, flags, mode=0o777):  # as /proc does
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"\.lock: cannot be written \(No such file or directory\)"):
        take(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="this file system has no locks; see to it that nothing else writes there"):
        take(tmp_path)


def test_a_lock_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(StorageError, match="No space left on device"):
        take(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def _moved(folder):
    folder.rename(folder.with_name("moved"))


def _taken_by_another(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / LOCK).write_text('{"doing": "another"}', encoding="utf-8")


@pytest.mark.parametrize("done", [_moved, shutil.rmtree, lambda folder: (folder / LOCK).unlink(), _taken_by_another])
def test_nothing_more_is_written_into_a_folder_that_is_no_longer_ours(tmp_path, done):
    folder = tmp_path / "run"
    folder.mkdir()
    with owned(folder, "train"):
        check_still_owned(folder / "deep" / "file")
        done(folder)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(StorageError, match=r"moved or removed, or its \.lock was, while this process was"):
            check_still_owned(folder)
        with pytest.raises(StorageError, match="moved or removed"), change_of(folder) as change:
            (change.root / "file").touch()
        with pytest.raises(StorageError, match="moved or removed"), new_sealed_folder(folder / "checkpoints" / "one"):
            raise AssertionError
        assert sorted(tmp_path.rglob("*")) == before
    assert [path for path in before if path.name == LOCK and path.parent == folder] == [
        path for path in tmp_path.rglob(LOCK) if path.parent == folder
    ]
    check_still_owned(folder)  # which is not ours any more, so whose it is does not matter


def test_alone_is_one_after_the_other(tmp_path):
    log = tmp_path / "log"
    (tmp_path / "folder").mkdir()

    def turn():
        for _ in range(30):
            with alone(tmp_path / "folder"), log.open("ab", buffering=0) as stream:
                stream.write(b"(")
                os.sched_yield()
                stream.write(b")")

    process = os.fork()
    if not process:
        turn()
        os._exit(0)
    thread = threading.Thread(target=turn)
    thread.start()
    turn()
    thread.join()
    os.waitpid(process, 0)
    assert log.read_bytes() == b"()" * 90


def test_alone_names_failures_of_its_own_only(tmp_path):
    with pytest.raises(StorageError, match=r"absent: cannot be locked \(No such file"), alone(tmp_path / "absent"):
        raise AssertionError
    with pytest.raises(OSError, match="another"), alone(tmp_path):
        raise OSError(errno.EIO, "another")
