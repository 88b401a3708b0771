import os
import stat
import tempfile
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.storage.change import change_of
from ensemble_uq_llm.storage.places import (
    check_can_be_made,
    check_can_be_written,
    check_is_file_or_nothing,
    check_is_folder_or_nothing,
    check_is_ours,
    check_is_somewhere,
)
from small_commands import command


@pytest.fixture
def place(tmp_path):
    """A folder with one of every kind in it."""
    (tmp_path / "file").write_text("somebody's", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "to_file").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [("new", "."), ("new/newer", "."), ("folder", "folder"), ("folder/new", "folder"), ("to_folder/new", "to_folder")],
)
def test_where_a_folder_would_be_made(place, name, found):
    assert check_can_be_made(place / name) == place / found
    check_can_be_written(place / name)
    assert list((place / "folder").iterdir()) == []


def test_a_folder_that_another_process_takes_away(tmp_path, monkeypatch):
    run = tmp_path / "run"
    taken: list[str] = []

    def probe(dir):  # an owner of the run gives its empty folder back between two looks
        if not taken:
            run.rmdir()
        taken.append(str(dir))
        return original(dir=dir)

    original = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", probe)
    run.mkdir()
    check_can_be_written(run)
    assert taken == [str(run), str(tmp_path)]


def test_a_folder_that_goes_between_two_looks(tmp_path, monkeypatch):
    (run := tmp_path / "run").mkdir()
    lstat = Path.lstat

    def look(path):
        found = lstat(path)
        if path == run:
            run.rmdir()
        return found

    monkeypatch.setattr(Path, "lstat", look)
    assert check_can_be_made(run) == run


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("file", r"/file: a file, where a folder is to be; name another place"),
        ("file/new/newer", r"/file: a file, where a folder is to be"),
        ("to_file/new", r"/to_file: a link, where a folder is to be"),
        ("pipe/new", r"/pipe: a pipe, where a folder is to be"),
        ("dangling/new", r"/dangling: a link that leads nowhere; mend it"),
        ("circle", r"/circle: a link that leads nowhere"),
        ("circle/new", r"/circle: a link that leads nowhere"),
        ("n" * 300, r"n: cannot be used \(File name too long\); use a shorter name"),
        ("new/" + "n" * 300, r"n: cannot be used \(File name too long\); use a shorter name"),
        ("a/" * 2500, r"cannot be used \(File name too long\)"),
    ],
)
def test_where_none_can_be_made(place, name, told):
    before = sorted(place.rglob("*"))
    for check in (check_can_be_made, check_can_be_written):
        with pytest.raises(StorageError, match=told):
            check(place / name)
    assert sorted(place.rglob("*")) == before


def test_a_relative_path(place, monkeypatch):
    monkeypatch.chdir(place)
    assert check_can_be_made(place.__class__("new/newer")) == place


@pytest.mark.parametrize("name", ["absent", "folder"])
def test_a_folder_or_nothing(place, name):
    check_is_folder_or_nothing(place / name)


@pytest.mark.parametrize("name", ["file", "to_folder", "to_file", "dangling", "circle", "pipe"])
def test_neither_a_folder_nor_nothing(place, name):
    with pytest.raises(StorageError, match=rf"/{name}: a .*, where a folder is to be written; move it, or use another"):
        check_is_folder_or_nothing(place / name)


@pytest.mark.parametrize("name", ["absent", "file"])
def test_a_file_or_nothing(place, name):
    check_is_file_or_nothing(place / name)


@pytest.mark.parametrize("name", ["folder", "to_folder", "to_file", "dangling", "circle", "pipe"])
def test_neither_a_file_nor_nothing(place, name):
    with pytest.raises(StorageError, match=rf"/{name}: a .*, where a file is to be written; move it, or use another"):
        check_is_file_or_nothing(place / name)


def test_what_the_manifest_knows_is_ours_and_nothing_else(place):
    with change_of(place) as change:
        (change.root / "ours").write_text("ours", encoding="utf-8")
    check_is_ours(place, ["ours", "absent", "folder/absent"])
    for name, told in {"file": "a file", "folder": "a folder", "to_file": "a link", "pipe": "a pipe"}.items():
        with pytest.raises(
            StorageError, match=rf"/{name}: {told} that this run did not write, and it is not overwritt"
        ):
            check_is_ours(place, ["ours", name])
    for name in ("to_folder/new", "file/new", "pipe/new/newer"):
        with pytest.raises(StorageError, match="where a folder is to be written"):
            check_is_ours(place, [name])
    (place / "ours").unlink()
    (place / "ours").symlink_to("file")
    with pytest.raises(StorageError, match="ours: a link that this run did not write"):
        check_is_ours(place, ["ours"])
    assert stat.S_ISFIFO((place / "pipe").stat().st_mode)


def test_a_current_folder_that_was_removed_is_told(tmp_path, monkeypatch):
    check_is_somewhere()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        with pytest.raises(StorageError, match=r"the current folder cannot be used \(No such file or directory\)"):
            check_is_somewhere()
        told = command("predict", "run")
        assert (told.code, told.raised) == (2, None)
        assert "error: the current folder cannot be used" in told.text
    finally:
        monkeypatch.undo()
