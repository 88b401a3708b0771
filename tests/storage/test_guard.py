import hashlib

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.storage import guard
from ensemble_uq_llm.storage.guard import (
    check_company,
    check_recorded,
    check_sources,
    read_guarded,
    read_of_run,
    read_verified,
)
from ensemble_uq_llm.storage.manifest import MANIFEST, FileEntry, Manifest, Pending


def entry(content):
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


@pytest.fixture
def folder(tmp_path):
    """A folder with two files on record, one of them in a room."""
    (tmp_path / "room").mkdir()
    for name in ("a", "room/b"):
        (tmp_path / name).write_bytes(name.encode())
    seal(tmp_path, "a", "room/b")
    return tmp_path


def seal(folder, *names, pending=None):
    manifest = Manifest(files={name: entry(name.encode()) for name in names}, pending=pending)
    (folder / MANIFEST).write_text(manifest.as_text())


@pytest.mark.parametrize("name", ["a", "room/b"])
def test_what_is_as_it_was_is_read(folder, name, monkeypatch):
    assert read_guarded(folder / name) == read_verified(folder, folder / name) == name.encode()
    monkeypatch.chdir(folder)
    assert read_guarded(folder / "room" / ".." / name) == name.encode()
    assert read_guarded(type(folder)(name)) == name.encode()


@pytest.mark.parametrize("name", ["a", "room/b"])
def test_what_is_not_is_refused(folder, name):
    path = folder / name
    path.write_bytes(b"other")
    with pytest.raises(IntegrityError, match=rf"{path}: altered after it was written .* --accept"):
        read_guarded(path)
    path.unlink()
    with pytest.raises(IntegrityError, match=rf"{path}: removed after it was written"):
        read_guarded(path)
    path.symlink_to(folder / MANIFEST)
    with pytest.raises(IntegrityError, match=rf"{path}: a link is in the place of the file that was written"):
        read_guarded(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IntegrityError, match=rf"{path}: something else is in its place"):
        read_guarded(path)


def test_a_link_from_elsewhere_is_read_as_its_target(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "link"
    elsewhere.symlink_to(folder / "room" / "b")
    assert read_guarded(elsewhere) == b"room/b"
    (folder / "room" / "b").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="altered after it was written"):
        read_guarded(elsewhere)


def test_what_is_not_on_record_is_refused_in_a_room_and_free_beside_it(folder):
    for name in ("room/planted", "mine", "other/mine"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"mine")
    assert [read_of_run(folder / name) for name in ("mine", "other/mine")] == [None, None]
    for read in (read_of_run, read_guarded):
        with pytest.raises(IntegrityError, match="planted: not written by this run"):
            read(folder / "room/planted")
    assert read_guarded(folder / "mine") == read_guarded(folder / "other/mine") == b"mine"


@pytest.mark.parametrize("name", ["none", "room/none"])
def test_what_never_was_is_not_found(folder, name):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_guarded(folder / name)


@pytest.mark.parametrize("name", ["a", "room/b"])
def test_a_torn_manifest_is_told_and_one_of_another_program_is_not_ours(folder, name):
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-9])
    with pytest.raises(IntegrityError, match=r"manifest\.json: not a manifest of this version"):
        read_guarded(folder / name)
    (folder / MANIFEST).write_text('{"name": "an app"}')
    assert read_guarded(folder / name) == name.encode()


def test_beside_a_writer_the_old_and_the_new_are_read_and_nothing_else(folder, monkeypatch):
    monkeypatch.setattr(guard, "_PAUSE", 0)
    change = Pending(waiting=".staging/1", files={"a": entry(b"new")})
    seal(folder, "a", pending=change)
    assert read_guarded(folder / "a") == b"a"
    (folder / "a").write_bytes(b"new")
    assert read_guarded(folder / "a") == b"new"
    (folder / "a").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="altered"):
        read_guarded(folder / "a")


def test_a_reader_waits_until_a_writer_has_moved_its_file(folder, monkeypatch):
    seal(folder, "a", pending=Pending(waiting=".staging/1", files={"c": entry(b"c")}))
    monkeypatch.setattr(guard.time, "sleep", lambda _: (folder / "c").write_bytes(b"c"))
    assert read_verified(folder, folder / "c") == b"c"


def test_names_alone_are_checked_without_reading(folder):
    (folder / "a").write_bytes(b"other")
    check_recorded(folder, [folder / "a", folder / "none"])
    (folder / "planted").touch()
    with pytest.raises(IntegrityError, match="planted: not written by this run"):
        check_recorded(folder, [folder / "a", folder / "planted"])
    (folder / "a").unlink()
    with pytest.raises(IntegrityError, match="a: removed after it was written"):
        check_recorded(folder, [folder / "a"])
    (folder / MANIFEST).unlink()
    check_recorded(folder, [folder / "a", folder / "planted"])


@pytest.fixture
def linked(folder):
    """A folder in which `made` was made from `a`, and `a` from what lies elsewhere."""
    (folder / "made").write_bytes(b"made")
    files = {
        "a": FileEntry(sha256=entry(b"a").sha256, size=1, made_from={"base": "0"}),
        "made": FileEntry(sha256=entry(b"made").sha256, size=4, made_from={"a": entry(b"a").sha256}),
    }
    (folder / MANIFEST).write_text(Manifest(files=files).as_text())
    return folder


def test_what_a_file_was_made_from_is_read_with_it(linked):
    check_sources(linked, linked / "made")
    check_company(linked / "made")
    (linked / "made").write_bytes(b"other")
    check_sources(linked, linked / "a")
    (linked / "a").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="/a: altered after it was written"):
        check_sources(linked, linked / "made")
    with pytest.raises(IntegrityError, match="/a: altered after it was written"):
        check_company(linked / "made")


def test_so_is_what_was_made_from_it_where_it_came_alone(linked):
    (linked / "made").write_bytes(b"of a later time")
    with pytest.raises(IntegrityError, match="/made: altered after it was written"):
        check_company(linked / "a")
    (linked / "made").unlink()
    check_company(linked / "a")
    check_company(linked.parent / "of_nobody")


def test_a_strangers_file_is_to_be_moved_and_ours_to_be_restored(folder):
    (folder / "room" / "planted").touch()
    with pytest.raises(IntegrityError, match="planted: not written by this run; move it elsewhere, or"):
        read_guarded(folder / "room" / "planted")
    (folder / "a").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="; restore it or make it again, or"):
        read_guarded(folder / "a")
