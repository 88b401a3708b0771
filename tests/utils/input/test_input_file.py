import os
import socket
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError, ModelError
from ensemble_uq_llm.utils.input.input_file import VARIABLE, most_bytes, opened
from recording import recorded


def special(folder: Path, kind: str) -> Path:
    """Return the path of something that is no regular file."""
    path = folder / f"{kind}.csv"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "broken":
        path.symlink_to(folder / "nothing")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.symlink_to(f"/dev/{kind}")
    return path


SPECIAL = {
    "zero": "not a regular file but a device",
    "urandom": "not a regular file but a device",
    "full": "not a regular file but a device",
    "fifo": "not a regular file but a pipe",
    "socket": "not a regular file but a socket",
    "folder": "not a regular file but a folder",
    "broken": "there is no such file; correct the path",
    "loop": "cannot be read: Too many levels of symbolic links",
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = special(tmp_path, kind)
    with pytest.raises(DataError, match=f"{kind}.csv: {SPECIAL[kind]}"), opened(path):
        pass


def test_what_a_pipe_takes_the_place_of_is_refused_without_waiting(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    os.mkfifo(path)
    regular = tmp_path / "regular"
    regular.touch()
    before = regular.stat()
    monkeypatch.setattr(Path, "stat", lambda self: before)  # as it was a moment ago
    with pytest.raises(DataError, match="not a regular file but a pipe"), opened(path):
        pass


def test_a_pipe_of_the_shell_is_refused():
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(DataError, match="but a pipe; name a file \\(write what a pipe gives into one first"):
            opened(Path(f"/dev/fd/{read_end}")).__enter__()
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_link_to_a_file_is_read_as_the_file(tmp_path):
    (tmp_path / "real").write_bytes(b"hello")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with opened(tmp_path / "link") as file:
        assert file.stream.read() == b"hello"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a\0b", "'a.x00b': no file can have this name .*null byte.*; correct the path"),
        ("\ud800", "'.ud800': no file can have this name .*; correct the path"),
        ("x" * 300, "cannot be read: File name too long"),
        ("/dev/null/x", "there is no such file"),
    ],
)
def test_a_name_that_no_file_has(path, message):
    with pytest.raises(DataError, match=message), opened(Path(path)):
        pass


def test_too_much_is_named_with_what_allows_more(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    path.touch()
    os.truncate(path, 100 * 10**9)  # a file with a hole, of no cost
    with pytest.raises(DataError, match=rf"needs 100 GB of memory at least, and 8 GB are allowed .* {VARIABLE} to"):
        opened(path).__enter__()
    monkeypatch.setenv(VARIABLE, "200")
    with opened(path) as file:
        file.take(150 * 10**9)
        with pytest.raises(DataError, match="needs 300 GB of memory at least, and 200 GB are allowed"):
            file.take(150 * 10**9)


@pytest.mark.parametrize("given", ["much", "", "0", "-1", "nan", "inf", "1e400"])
def test_a_bound_that_is_none_is_named(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ConfigError, match=f"{VARIABLE}: '{given}' in the environment; give a number of gigabytes"):
        most_bytes()


def test_what_reading_meets_is_named_and_what_is_ours_is_not_hidden(tmp_path):
    path = tmp_path / "x.csv"
    path.touch()
    for raised, message in (
        (OSError(5, "Input/output error"), "cannot be read: Input/output"),
        (MemoryError(), "memory"),
    ):
        with pytest.raises(DataError, match=f"x.csv: .*{message}"), opened(path):
            raise raised
    with pytest.raises(ModelError, match="cannot be read: Input/output error"), opened(path, error=ModelError):
        raise OSError(5, "Input/output error")
    with pytest.raises(KeyError, match="a bug"), opened(path):
        raise KeyError("a bug")


def test_a_runs_own_file_is_read_as_it_was_written_or_not_at_all(tmp_path):
    path = tmp_path / "run" / "predictions" / "a.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"whole")
    recorded(tmp_path / "run")
    with opened(path) as file:
        assert file.stream.read() == b"whole"
    path.write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"a\.csv: altered after it was written"), opened(path):
        pass
