import errno
import os
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage import change
from ensemble_uq_llm.storage.change import STAGING, change_of, settle
from ensemble_uq_llm.storage.manifest import MANIFEST, FileEntry, Manifest, read_manifest
from ensemble_uq_llm.utils.files import sha256_of, write_text


def write(folder, **files):
    with change_of(folder) as one:
        for name, content in files.items():
            (one.root / name).parent.mkdir(exist_ok=True)
            (one.root / name).write_text(content, encoding="utf-8")


def entries(folder):
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.pending is None
    return manifest.files


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def folder(tmp_path):
    """A folder with two files of ours."""
    write(tmp_path, old="old", other="other")
    return tmp_path


def test_new_files_are_at_their_places_and_in_the_manifest(tmp_path):
    with change_of(tmp_path) as one:
        (one.root / "deep" / "er").mkdir(parents=True)
        (one.root / "deep" / "er" / "file").write_text("new", encoding="utf-8")
        one.binds(tmp_path / "deep" / "er" / "file", {"base": "b"})
        assert names(tmp_path)[0].startswith(STAGING)
    assert names(tmp_path) == ["deep", "deep/er", "deep/er/file", MANIFEST]
    digest = sha256_of(tmp_path / "deep" / "er" / "file")
    assert entries(tmp_path) == {"deep/er/file": FileEntry(sha256=digest, size=3, made_from={"base": "b"})}


def test_files_are_replaced_removed_and_kept_in_one_step(folder):
    with change_of(folder) as one:
        (one.root / "old").write_text("new", encoding="utf-8")
        one.remove(folder / "other", folder / "absent")
    assert (folder / "old").read_text(encoding="utf-8") == "new"
    assert list(entries(folder)) == ["old"]
    assert names(folder) == [MANIFEST, "old"]


def test_what_is_written_and_removed_at_once_is_there(folder):
    with change_of(folder) as one:
        one.remove(folder / "old")
        (one.root / "old").write_text("new", encoding="utf-8")
    assert (folder / "old").read_text(encoding="utf-8") == "new"


def test_a_log_is_forgotten_while_it_grows_and_adopted_when_it_is_whole(folder):
    log = folder / "events.jsonl"
    for content in ("one\n", "one\ntwo\n"):
        with change_of(folder) as one:
            one.forget(log)
        assert "events.jsonl" not in entries(folder)
        log.write_text(content, encoding="utf-8")
        with change_of(folder) as one:
            one.adopt(log)
        assert entries(folder)["events.jsonl"].size == len(content)


def test_a_change_of_nothing_writes_nothing(folder):
    before = (folder / MANIFEST).stat().st_mtime_ns
    with change_of(folder) as one:
        one.remove(folder / "absent")
        one.adopt(folder / "absent")
    assert (folder / MANIFEST).stat().st_mtime_ns == before or list(entries(folder)) == ["old", "other"]
    assert names(folder) == [MANIFEST, "old", "other"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug"), StorageError("full")])
def test_an_interruption_changes_nothing(folder, error):
    before = entries(folder)

    def fail():
        with change_of(folder) as one:
            (one.root / "old").write_text("new", encoding="utf-8")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert (folder / "old").read_text(encoding="utf-8") == "old"
    assert entries(folder) == before
    assert names(folder) == [MANIFEST, "old", "other"]


@pytest.mark.parametrize("name", ["mine", "deep/mine"])
def test_somebody_elses_file_is_not_overwritten(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine", encoding="utf-8")
    with pytest.raises(StorageError, match="mine: a file that this run did not write"):
        write(folder, **{name: "ours", "old": "new"})
    with pytest.raises(StorageError, match="mine: a file that this run did not write"), change_of(folder) as one:
        one.remove(folder / name)
    assert (folder / name).read_text(encoding="utf-8") == "mine"
    assert (folder / "old").read_text(encoding="utf-8") == "old"


def test_what_cannot_be_looked_into_is_no_change_without_it(folder, monkeypatch):
    def refuse(path="."):
        if Path(path).name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listdir(path)

    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(StorageError, match=r"cannot be written \(Permission denied"):
        write(folder, **{"deep/file": "new", "old": "new"})
    assert (folder / "old").read_text(encoding="utf-8") == "old"


@pytest.fixture
def half(folder, monkeypatch):
    """The folder, in which a change of `old` and `another` was decided on, and stopped before the files moved."""

    def refuse(*_, **__):
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patch:
        patch.setattr(change, "_move", refuse)
        with pytest.raises(StorageError, match="check the disk"):
            write(folder, old="new", another="another")
    assert (folder / "old").read_text(encoding="utf-8") == "old"
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.pending is not None
    return folder


def test_the_next_owner_completes_what_was_decided_on(half):
    settle(half)
    assert (half / "old").read_text(encoding="utf-8") == "new"
    assert list(entries(half)) == ["another", "old", "other"]
    assert names(half) == ["another", MANIFEST, "old", "other"]
    settle(half)
    assert names(half) == ["another", MANIFEST, "old", "other"]


def test_the_next_change_completes_what_was_decided_on(half):
    write(half, third="third")
    assert list(entries(half)) == ["another", "old", "other", "third"]
    assert (half / "old").read_text(encoding="utf-8") == "new"


def test_what_was_decided_on_and_is_gone_is_told(half):
    for path in (half / STAGING).rglob("old"):
        path.unlink()
    with pytest.raises(IntegrityError, match=r"old: a change of it was interrupted, .* verify .* --accept"):
        settle(half)


def test_what_waits_for_nothing_goes_and_somebody_elses_stays(folder):
    (folder / STAGING / ("0123456789abcdef" * 2)).mkdir(parents=True)
    (folder / STAGING / ("0123456789abcdef" * 2) / "file").touch()
    (folder / f".{MANIFEST}.abcdef-1-01234567.tmp").touch()
    settle(folder)
    assert names(folder) == [MANIFEST, "old", "other"]
    (folder / STAGING / "mine").mkdir(parents=True)
    with pytest.raises(StorageError, match="mine: not of this program, and in its folder"):
        settle(folder)
    assert (folder / STAGING / "mine").is_dir()


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STAGING).symlink_to(tmp_path / "elsewhere")
    for doing in (lambda: settle(tmp_path / "run"), lambda: write(tmp_path / "run", new="new")):
        with pytest.raises(StorageError, match=r"\.staging: a link, where a folder is to be written"):
            doing()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_refusal_is_told_of_the_place_that_a_file_was_to_have(folder):
    def refuse() -> None:
        with change_of(folder) as change:
            write_text(change.root / "metrics" / ("x" * 300), "new")

    with pytest.raises(StorageError, match=rf"^{folder}/metrics/x+: cannot be written \(File name too long\)"):
        refuse()


def test_settling_a_folder_that_is_nobodys_does_nothing(tmp_path):
    settle(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert read_manifest(tmp_path) is None
    assert Manifest().files == {}
