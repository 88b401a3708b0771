"""A crash at every call to the file system, of every command that writes a run: the old state or the new, never mixed.

The calls of each command are recorded once. What a kill, or a power failure, would have left at each of them is put on
the disk, opened as the next command opens it, and compared; the same command then goes on from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.storage import change
from ensemble_uq_llm.storage.change import change_of
from recorded_disk import FLUSHED_ONLY, KILLED, NAMES_ONLY, Recorder, put, tree_of
from small_commands import command, without_flushing
from watched_disk import watching
from whole_states import Scene, agreed, announced, history, record_commands, settled


@pytest.fixture(scope="module")
def place(fast_folder):
    """The folder in which the run is."""
    (fast_folder / "place").mkdir()
    return fast_folder / "place"


@pytest.fixture(scope="module")
def scenes(place, tiny_base, tiny_data, request):
    """A run from its first command to its report; in the long form, then with a member more, and evaluated again."""
    again = request.config.getoption("--stress")
    return record_commands(place, tiny_base, tiny_data, again=again)


def problems_of(scene: Scene, place, kind: str) -> Iterator[str]:
    """What is wrong with the states that a crash of a kind would leave."""
    legitimate = history(scene)
    for calls, tree in scene.recorder.states[kind]:
        put(tree, place)
        where = f"{scene.name}, {kind} at call {calls}"
        try:
            with without_flushing():
                files = settled(place)
        except (AssertionError, OSError, ValueError) as error:
            yield f"{where}: {error}"
            continue
        if files not in legitimate:
            yield f"{where}: neither the old state nor the new"
        elif kind == KILLED and files != announced(tree):
            yield f"{where}: what was announced is not there"


@pytest.mark.parametrize("kind", [KILLED, NAMES_ONLY, FLUSHED_ONLY])
def test_the_old_state_or_the_new_at_every_call(scenes, place, tally, kind):
    for scene in scenes:
        assert list(problems_of(scene, place, kind)) == []
    states, calls = sum(len(each.recorder.states[kind]) for each in scenes), sum(each.recorder.calls for each in scenes)
    tally(f"{states} of {states} states ({kind}) at {calls:,} calls are the old one or the new one")


def test_what_a_command_has_said_to_be_done_survives_a_power_failure(scenes):
    for scene in scenes:
        _, tree = scene.recorder.states[FLUSHED_ONLY][-1]
        assert announced(tree) == announced(scene.end), scene.name


@pytest.mark.parametrize("kind", [KILLED, FLUSHED_ONLY])
def test_the_same_command_goes_on_to_the_same_end(scenes, place, rounds, tally, kind):
    count = 0
    for scene in scenes:
        for calls, tree in scene.recorder.states[kind][:: rounds(16, 1)]:
            put(tree, place)
            with without_flushing():
                told = command(*scene.arguments)
            assert told.code == 0, f"{scene.name} after a crash at call {calls}: {told}"
            # The log of the last moments may be lost with the power; what was trained is not.
            found, wanted = (agreed(each, log=kind == KILLED) for each in (tree_of(place), scene.end))
            assert found == wanted, f"{scene.name} after a crash at call {calls}"
            count += 1
    tally(f"{count} of {count} crashes ({kind}) end as the undisturbed command does")


def _write_twice(place) -> Scene:
    """Two changes of a small folder, recorded."""
    put({}, place)
    (place / "run").mkdir()
    recorder = Recorder(place)
    with watching(recorder, place):
        for content in ("old", "new"):
            with change_of(place / "run") as one:
                for name in ("run.json", "a.csv", "deep/b.csv"):
                    (one.root / name).parent.mkdir(exist_ok=True)
                    (one.root / name).write_text(content * 50, encoding="utf-8")
    return Scene("two changes", [], recorder, tree_of(place))


def test_every_crash_of_a_change(place):
    scene = _write_twice(place)
    assert len(history(scene)) == 3
    for kind in (KILLED, NAMES_ONLY, FLUSHED_ONLY):
        assert list(problems_of(scene, place, kind)) == []


@contextmanager
def _in_place(path):
    yield path


def _announce_nothing(folder, manifest):
    if manifest.pending is None:
        _WRITE(folder, manifest)


_WRITE = change._write


@pytest.mark.parametrize(
    ("part", "fault", "kind", "told"),
    [
        ("atomic_path", _in_place, KILLED, "not a manifest"),
        ("_write", _announce_nothing, KILLED, "b.csv"),
        ("flush", lambda path: None, NAMES_ONLY, "a.csv"),
    ],
    ids=["a manifest written in its place", "a change that is not announced", "files that are not flushed"],
)
def test_a_planted_fault_is_found(place, monkeypatch, part, fault, kind, told):
    with monkeypatch.context() as patch:
        patch.setattr(change, part, fault)
        scene = _write_twice(place)
    assert any(told in each for each in problems_of(scene, place, kind))


def test_a_run_that_was_copied_without_its_hidden_files_is_told(place):
    scene = _write_twice(place)
    half = next(tree for _, tree in reversed(scene.recorder.states[KILLED]) if any(".staging" in path for path in tree)
                and announced(tree) == announced(scene.end) and tree["run/a.csv"] == b"old" * 50)  # fmt: skip
    put({path: content for path, content in half.items() if ".staging" not in path}, place)
    with pytest.raises(IntegrityError, match=r"a change of it was interrupted, .* ensemble-uq verify .* --accept"):
        settled(place)
