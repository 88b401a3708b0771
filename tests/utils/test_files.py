import contextlib
import errno
import hashlib
import math
import os
import socket
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import ConfigError, IntegrityError, StorageError
from ensemble_uq_llm.utils import files
from ensemble_uq_llm.utils.files import (
    as_path,
    atomic_path,
    make_folder,
    path_problem,
    read_json,
    read_object,
    sha256_of,
    sweep_temporaries,
    write_csv,
    write_json,
    write_text,
)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("~", "{home}"),
        ("~/a b", "{home}/a b"),
        ("a/~", "a/~"),
        (Path("~/x"), "{home}/x"),
    ],
    ids=str,
)
def test_a_path_from_the_home_folder(monkeypatch, tmp_path, given, found):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert as_path(given, "x") == Path(found.format(home=tmp_path))


@pytest.mark.parametrize("given", [None, 3, "", b"a", ["a"]], ids=str)
def test_what_is_no_path_is_named(given):
    with pytest.raises(ConfigError, match=r"^x: a path is needed, found "):
        as_path(given, "x")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a\0b", "must not hold the character NUL"),
        (Path("a\udcff"), "must be UTF-8; rename it"),
        ("n" * 256, "must not hold a name of more than 255 bytes"),
        ("a/" * 2048, "must have at most 4,095 bytes"),
        ("https://user:canary@host/a", r"must be a path on this machine, and no URL"),
        (Path("s3://bucket/a"), "must be a path on this machine, and no URL"),
        ("file:///tmp/a", "must be a path on this machine, and no URL"),
        ("~nobody-of-this-name/a", "must not begin with ~ where there is no such user"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_no_file_can_be_called_is_told(given, told):
    with pytest.raises(ConfigError, match=rf"^x: {told}.*, found '"):
        as_path(given, "x")
    assert path_problem(str(given)) is not None


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole", encoding="utf-8")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text(encoding="utf-8") == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_interruption_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")
    with contextlib.suppress(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_is_told_to_be_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *given, name=name, original=original: (calls.append(name), original(*given))
        )
    write_text(tmp_path / "file.txt", "whole")
    assert calls == ["fsync", "replace", "fsync"]  # the content, then the name


def _temporary(folder, process, host=None):
    host = host or hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
    path = folder / f".file.txt.{host}-{process}-01234567.tmp"
    path.touch()
    return path


DEAD = 2**22 + 1
"""No process has this number: it is beyond Linux's largest."""


def test_the_temporaries_of_dead_processes_of_this_machine_go(tmp_path):
    dead, alive = _temporary(tmp_path, DEAD), _temporary(tmp_path, os.getpid())
    elsewhere = _temporary(tmp_path, DEAD, host="abcdef")
    (tmp_path / ".file.txt.mine.tmp").touch()
    write_text(tmp_path / "other.txt", "not theirs")
    assert dead.exists()
    write_text(tmp_path / "file.txt", "theirs")
    assert not dead.exists()
    assert {alive.name, elsewhere.name, ".file.txt.mine.tmp"} < {each.name for each in tmp_path.iterdir()}


def test_the_owner_of_a_folder_sweeps_all_temporaries_and_nothing_else(tmp_path):
    for each in (_temporary(tmp_path, DEAD), _temporary(tmp_path, os.getpid()), _temporary(tmp_path, 1, "abcdef")):
        assert each.exists()
    mine = [".file.txt.mine.tmp", "file.txt", ".hidden.tmp", ".a.zzzzzz-1-01234567.tmp"]
    for name in mine:
        (tmp_path / name).touch()
    sweep_temporaries(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(mine)


def test_a_disk_that_refuses_is_told_even_where_nothing_can_be_removed(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    write_text(tmp_path / "file.txt", "old")
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StorageError, match=r"file\.txt: cannot be written \(Input/output error\); check the disk"):
        write_text(tmp_path / "file.txt", "new")
    assert (tmp_path / "file.txt").read_text(encoding="utf-8") == "old"


def test_every_folder_on_the_way_is_on_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "flush", flushed.append)
    make_folder(tmp_path / "a" / "b")
    assert flushed == [tmp_path, tmp_path / "a"]
    make_folder(tmp_path / "a" / "b")
    assert len(flushed) == 2


@pytest.fixture(params=[0o022, 0o027, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def close_to_others(path):
    """Write a file as libraries do that write beside its place, and leave it to its owner alone."""
    path.unlink(missing_ok=True)
    path.write_text("new")
    path.chmod(0o600)


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
def test_modes_follow_the_umask_whoever_writes(tmp_path, umask):
    with atomic_path(tmp_path / "file") as temporary:
        close_to_others(temporary)
    write_text(tmp_path / "text", "new")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    of_a_file = 0o666 & ~umask
    assert modes == {"file": of_a_file, "text": of_a_file}


def test_text_is_utf8(tmp_path):
    write_text(tmp_path / "t", "größer ≠ 😀")
    assert (tmp_path / "t").read_bytes() == "größer ≠ 😀".encode()


def test_json_round_trips_and_is_readable(tmp_path):
    value = {"name": "größer", "list": [1, 2.5, None]}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    assert "größer" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_has_no_nan_and_the_old_file_stays(tmp_path, value):
    write_json(tmp_path / "v.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "v.json", {"a": value})
    assert read_json(tmp_path / "v.json") == {"a": 1}


@pytest.mark.parametrize(("content", "message"), [("[1]", "holds list"), ("3", "holds int"), ("{", "Expecting")])
def test_only_an_object_is_read(tmp_path, content, message):
    (tmp_path / "v.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "v.json")


def test_what_a_disk_does_not_give_is_not_called_torn(tmp_path):
    """The advice for a torn file is to delete or restore it; one that cannot be read now may be sound."""
    path = tmp_path / "member.json"

    def refused(_: Path) -> bytes:
        raise StorageError(f"{path}: cannot be read (Stale file handle)")

    with pytest.raises(StorageError, match=r"member\.json: cannot be read \(Stale file handle\)$"):
        read_object(path, remedy="delete it", read=refused)
    with pytest.raises(IntegrityError, match=r"member\.json: this is no JSON \(.*\); delete it$"):
        read_object(path, remedy="delete it", read=lambda _: b"{")


def test_csv(tmp_path):
    write_csv(tmp_path / "t.csv", ["id", "label"], [("a,b", None), ('say "x"', 1), ("two\nlines", 0.5)])
    text = (tmp_path / "t.csv").read_bytes().decode()
    assert text == 'id,label\n"a,b",\n"say ""x""",1\n"two\nlines",0.5\n'


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 10_000)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(b"abc" * 10_000).hexdigest()
