import contextlib
import hashlib
import math
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.files import (
    as_path,
    atomic_folder,
    atomic_path,
    read_json,
    sha256_of,
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
        ("~nobody-of-this-name/a", "~nobody-of-this-name/a"),
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


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "member"
    path.mkdir()
    (path / "old").touch()
    with atomic_folder(path) as temporary:
        (temporary / "new").write_bytes(b"1")
        assert (path / "old").exists()
    assert [each.name for each in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_old_folder_and_no_litter(tmp_path):
    path = tmp_path / "member"
    path.mkdir()
    (path / "old").touch()
    with contextlib.suppress(KeyboardInterrupt), atomic_folder(path) as temporary:
        (temporary / "new").touch()
        raise KeyboardInterrupt
    assert [each.name for each in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


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


def test_csv(tmp_path):
    write_csv(tmp_path / "t.csv", ["id", "label"], [("a,b", None), ('say "x"', 1), ("two\nlines", 0.5)])
    text = (tmp_path / "t.csv").read_bytes().decode()
    assert text == 'id,label\n"a,b",\n"say ""x""",1\n"two\nlines",0.5\n'


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 10_000)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(b"abc" * 10_000).hexdigest()
