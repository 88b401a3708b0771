import shutil

import pytest

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.manifest import MANIFEST
from ensemble_uq_llm.storage.sealed_folder import (
    UNFINISHED,
    new_sealed_folder,
    read_sealed_folder,
    remove_sealed_folder,
    sweep_unfinished,
)

DEAD = f"{UNFINISHED}{'0123456789abcdef' * 2}"
"""What a writer that died has left."""


def seal(path, **files):
    with new_sealed_folder(path) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
    return path


def test_a_folder_appears_whole_and_is_read_as_it_was_written(tmp_path):
    with new_sealed_folder(tmp_path / "group" / "one") as temporary:
        (temporary / "a").write_bytes(b"1")
        assert not (tmp_path / "group" / "one").exists()
    assert read_sealed_folder(tmp_path / "group" / "one") == {"a": b"1"}
    assert [each.name for each in (tmp_path / "group").iterdir()] == ["one"]


def test_one_that_is_there_is_never_overwritten(tmp_path):
    seal(tmp_path / "one", a=b"old")
    with pytest.raises(StorageError, match=r"one: cannot be written \(Directory not empty\)"):
        seal(tmp_path / "one", a=b"new")
    assert read_sealed_folder(tmp_path / "one") == {"a": b"old"}
    assert [each.name for each in tmp_path.iterdir()] == ["one"]


def test_one_in_the_place_of_another_is_refused(tmp_path):
    seal(tmp_path / "one", a=b"older")
    seal(tmp_path / "two", a=b"newer")
    shutil.rmtree(tmp_path / "two")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert read_sealed_folder(tmp_path / "one") == {"a": b"older"}
    with pytest.raises(IntegrityError, match="two: written as 'one', so it is not in its place"):
        read_sealed_folder(tmp_path / "two")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_an_interruption_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)), new_sealed_folder(tmp_path / "one"):
        raise error
    assert list(tmp_path.iterdir()) == []


def _flip(path):
    content = bytearray((path / "a").read_bytes())
    content[0] ^= 1
    (path / "a").write_bytes(content)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_flip, "/a: altered after it was written"),
        (lambda path: (path / "a").unlink(), "/a: missing"),
        (lambda path: (path / "c").touch(), "/c: not of this folder"),
        (lambda path: (path / "c").mkdir(), "/c: not of this folder"),
        (lambda path: (path / MANIFEST).unlink(), "there is no such file, so the folder is not whole"),
        (lambda path: (path / MANIFEST).write_text("{}"), "not a manifest|schema_version"),
    ],
)
def test_what_is_not_as_it_was_written_is_found(tmp_path, fault, told):
    fault(seal(tmp_path / "one", a=b"1", b=b"2"))
    with pytest.raises(IntegrityError, match=told):
        read_sealed_folder(tmp_path / "one")


def test_one_goes_as_a_whole_sound_or_not(tmp_path):
    remove_sealed_folder(seal(tmp_path / "one", a=b"1"), ["a"])
    (seal(tmp_path / "two", a=b"1") / MANIFEST).write_text("{")
    remove_sealed_folder(tmp_path / "two", ["a"])
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_file_keeps_all_of_it(tmp_path):
    (seal(tmp_path / "one", a=b"1") / "notes.txt").touch()
    with pytest.raises(IntegrityError, match=r"notes\.txt: not of this program, so it is left alone"):
        remove_sealed_folder(tmp_path / "one", ["a"])
    assert sorted(each.name for each in (tmp_path / "one").iterdir()) == ["a", MANIFEST, "notes.txt"]


def test_what_dead_writers_have_left_goes_with_the_next(tmp_path):
    (tmp_path / DEAD).mkdir()
    (tmp_path / DEAD / "a").touch()
    (tmp_path / f"{UNFINISHED}mine").mkdir()
    seal(tmp_path / "one", a=b"1")
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"{UNFINISHED}mine", "one"]


def test_links_are_not_followed_where_unfinished_folders_are_swept(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "folder" / DEAD).symlink_to(tmp_path / "mine")
    sweep_unfinished(tmp_path / "folder")
    assert (tmp_path / "mine" / "file").exists()
