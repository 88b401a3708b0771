"""A disk that refuses at the n-th call, and disks that are really full: a named error, and nothing is lost."""

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ensemble_uq_llm.errors import EnsembleUQError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import change_of
from ensemble_uq_llm.storage.sealed_folder import new_sealed_folder, read_sealed_folder, remove_sealed_folder
from ensemble_uq_llm.utils.files import write_text
from recorded_disk import Tree, put, tree_of
from small_commands import command, small_config, stages, without_flushing
from watched_disk import Call, Watcher, watching
from whole_states import agreed, announced, history, left_behind, record_commands, settled, steady

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE, errno.EDQUOT, errno.EROFS)
_TAKES_SPACE = {"write", "pwrite", "mkdir", "fsync", "rename", "replace"}


class Refusing(Watcher):
    """Refuses the n-th call, or all from there on that take space, with an error of the system."""

    def __init__(self, number: int, error: int, *, for_good: bool = False) -> None:
        self.number, self.error, self.for_good = number, error, for_good
        self.calls = 0
        self.refused: Call | None = None

    def before(self, call: Call, make: Callable[..., Any]) -> None:
        """Raise, where it is time; of what is written a half is there."""
        if call.name == "close" and not call.writes:
            return  # there is nothing that the disk could refuse
        self.calls += 1
        later = self.for_good and self.refused is not None and call.name in _TAKES_SPACE
        if self.calls == self.number or later:
            self.refused = self.refused or call
            if call.name == "write":
                make(call.arguments[0], call.arguments[1][: len(call.arguments[1]) // 2])
            raise OSError(self.error, os.strerror(self.error), call.path)


def calls_of(doing: Callable[[], Any], *roots: Path) -> int:
    """How many calls something makes that nobody refuses."""
    counting = Refusing(0, 0)
    with watching(counting, *roots):
        doing()
    return counting.calls


def refusal_of(doing: Callable[[], Any], watcher: Watcher, *roots: Path) -> str:
    """The error that something ends in where a watcher refuses; nothing where it does not. A traceback is one."""
    try:
        with watching(watcher, *roots), without_flushing():
            doing()
    except EnsembleUQError as failure:
        return str(failure)
    return ""


def _change(folder: Path, content: str) -> None:
    with change_of(folder) as change:
        for name in ("run.json", "a.csv", "deep/b.csv"):
            (change.root / name).parent.mkdir(exist_ok=True)
            (change.root / name).write_text(content * 50, encoding="utf-8")


def _owned_change(folder: Path, content: str) -> None:
    with RunFolder(folder).owned("test"):
        _change(folder, content)


def test_every_call_of_a_change_refused(fast_folder, rounds, tally):
    place = fast_folder / "change"
    place.mkdir()
    put({"run": None}, place)
    _owned_change(place / "run", "old")
    before = tree_of(place)
    count = calls_of(lambda: _owned_change(place / "run", "new"), place)
    after = tree_of(place)
    refused = tried = 0
    for number in range(1, count + 1):
        for error in ERRORS[number % rounds(3, 1) :: rounds(3, 1)]:
            put(before, place)
            failure = refusal_of(lambda: _owned_change(place / "run", "new"), Refusing(number, error), place)
            assert not failure or str(place) in failure
            assert settled(place) in (announced(before), announced(after)), f"{error} at {number}"
            _owned_change(place / "run", "new")
            assert tree_of(place) == after
            refused += bool(failure)
            tried += 1
    tally(f"{refused} of {tried} refused calls of a change are told, the others change nothing")
    assert refused > tried / 3


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_every_call_of_a_sealed_folder_refused(fast_folder, for_good):
    place = fast_folder / f"sealed {for_good}"

    def seal() -> None:
        with new_sealed_folder(place / "group" / "two") as temporary:
            (temporary / "a").write_text("a", encoding="utf-8")
        remove_sealed_folder(place / "group" / "one", ["a"])

    place.mkdir()
    with new_sealed_folder(place / "group" / "one") as temporary:
        (temporary / "a").write_text("old", encoding="utf-8")
    before = tree_of(place)
    for number in range(1, calls_of(seal, place) + 1):
        put(before, place)
        failure = refusal_of(seal, Refusing(number, errno.EIO, for_good=for_good), place)
        assert not failure or str(place) in failure
        whole = [path for path in (place / "group" / "one", place / "group" / "two") if path.is_dir()]
        assert whole
        for path in whole:
            assert set(read_sealed_folder(path)) == {"a"}


def test_every_call_of_a_file_refused(fast_folder):
    path = fast_folder / "one" / "file.txt"
    write_text(path, "old")
    for number in range(1, calls_of(lambda: write_text(path, "old"), path.parent) + 1):
        for error in ERRORS:
            watcher = Refusing(number, error)
            failure = refusal_of(lambda: write_text(path, "new"), watcher, path.parent)
            assert not failure or str(path.parent) in failure
            assert path.read_text(encoding="utf-8") in ("old", "new")
            write_text(path, "old")
            litter = {each.name for each in path.parent.iterdir()} - {"file.txt"}
            # What could not be removed goes with its process, or when the folder has a new owner.
            assert not litter or watcher.refused.name == "unlink"
            for name in litter:
                (path.parent / name).unlink()


@pytest.fixture(scope="module")
def scenes(fast_folder, tiny_base, tiny_data, request):
    """A run from its first command to its report."""
    place = fast_folder / "place"
    place.mkdir()
    data = Path(shutil.copy(tiny_data, fast_folder / "data.jsonl"))
    return record_commands(place, tiny_base, data, again=request.config.getoption("--stress"))


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_every_call_of_a_command_refused(scenes, fast_folder, rounds, tally, for_good):
    place, data = fast_folder / "place", fast_folder / "data.jsonl"
    told_of = tried = 0
    for scene in scenes:
        before, wanted = scene.recorder.states["killed"][0][1], agreed(scene.end, log=True)
        legitimate = [steady(files) for files in history(scene)]
        put(before, place)
        with without_flushing():
            count = calls_of(lambda scene=scene: command(*scene.arguments), place, data)
        for number in range(1, count + 1, rounds(150, 1)):
            error = errno.ENOSPC if for_good else ERRORS[number % len(ERRORS)]
            put(before, place)
            watcher = Refusing(number, error, for_good=for_good)
            with without_flushing(), watching(watcher, place, data):
                told = command(*scene.arguments)
            where = f"{scene.name}, {errno.errorcode[error]} at call {number}, {watcher.refused}: {told}"
            assert told.raised is None, where
            if told.code:
                assert "error: " in told.text, where
                assert str(fast_folder) in told.text, where
                # Not that a file is torn: the advice would be to delete what may be sound.
                assert told.code in (2, 3), where
                assert os.strerror(error) in told.text, where
                told_of += 1
            else:
                assert agreed(_without_litter(tree_of(place)), log=False) == agreed(scene.end, log=False), where
            with without_flushing():
                assert steady(settled(place)) in legitimate, where
                again = command(*scene.arguments)
            assert again.code == 0, f"{where}, then {again}"
            assert agreed(tree_of(place), log=True) == wanted, where
            assert not left_behind(place), where
            tried += 1
    tally(f"{told_of} of {tried} refused calls of commands end in a named error, the others in the same run")


class Reading(Watcher):
    """Notes the files that are opened to be read; opening the one of `refused` ends in ESTALE each time."""

    def __init__(self, refused: str = "") -> None:
        self.refused, self.opened = refused, set[str]()

    def before(self, call: Call, make: Callable[..., Any]) -> None:
        if call.name == "open" and not call.writes and Path(call.path).is_file():
            self.opened.add(call.path)
            if call.path == self.refused:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), call.path)


def test_every_file_that_cannot_be_read_is_told_and_not_called_torn(scenes, fast_folder, tally):
    """The advice for a torn file is to delete it or to make it again, and one that cannot be read now may be sound."""
    place, data = fast_folder / "place", fast_folder / "data.jsonl"
    tried = 0
    for scene in scenes:
        before, reading = scene.recorder.states["killed"][0][1], Reading()
        legitimate = [steady(files) for files in history(scene)]
        put(before, place)
        with without_flushing(), watching(reading, place, data):
            command(*scene.arguments)
        there = {str(place / path) for path, content in before.items() if content is not None} | {str(data)}
        for path in sorted(reading.opened & there):
            put(before, place)
            with without_flushing(), watching(Reading(path), place, data):
                told = command(*scene.arguments)
            where = f"{scene.name} without {path}: {told}"
            assert told.raised is None, where
            assert told.code in (2, 3), where
            assert "Stale file handle" in told.text, where
            assert path in told.text, where
            assert steady(settled(place)) in legitimate, where
            tried += 1
    tally(f"{tried} of {tried} files that cannot be read are told by name")
    assert tried > 15


def _without_litter(tree: Tree) -> Tree:
    """What a command may leave that was not let remove it, for the next to remove."""
    litter = ("run/.lock", "run/.staging", "run/.manifest.json.")
    return {path: content for path, content in tree.items() if not path.startswith(litter)}


def test_the_refusal_is_felt(scenes, fast_folder):
    place = fast_folder / "place"
    put({}, place)
    with watching(Refusing(30, errno.EIO), place):
        told = command(*scenes[0].arguments)
    assert told.code != 0
    assert "Input/output error" in told.text


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of so many kilobytes in memory, where that may be done here."""
    mounted = []

    def mount(kilobytes: int) -> Path:
        folder = tmp_path / f"disk {len(mounted)}"
        folder.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(options, capture_output=True, check=False).returncode:
            pytest.skip("a disk can be mounted by root only")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [16, 44, 64, 24, 32, 52, 72, 80, 96, 120])
def test_a_disk_that_is_really_full(small_disk, tiny_base, tiny_data, tmp_path, request, size, tally):
    if size not in (16, 44, 64) and not request.config.getoption("--stress"):
        pytest.skip("in the long form")
    disk = small_disk(size)
    commands = stages(small_config(tmp_path, tiny_base, tiny_data), disk / "run")
    ended = {}
    for name, arguments in commands.items():
        told = ended[name] = command(*arguments)
        assert told.raised is None, told
        if told.code:
            assert "No space left on device" in told.text or "make room" in told.text, told
            assert not left_behind(disk), told
            break
    else:
        return
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    for name, arguments in commands.items():
        assert command(*arguments).code == 0, name
    tally(f"a disk of {size} kB was full in `{name}`, and the run went on when it was larger")


def test_a_limit_on_the_size_of_files(tiny_base, tiny_data, tmp_path):
    train = stages(small_config(tmp_path, tiny_base, tiny_data), tmp_path / "run")["train"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        told = command(*train)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told.raised is None
    assert told.code == 2
    assert "raise the limit on the size of files" in told.text
    assert not left_behind(tmp_path) - {"small.yaml"}
    assert command(*train).code == 0
