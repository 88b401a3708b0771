"""Which entries of a stranger's folder may be opened."""

import os
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.folder_files import LARGEST_SMALL_FILE, check_folder, claimed_sha256, obstacle

DIGEST = "0123456789abcdef" * 4


def linked(path: Path, target: Path | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_a_plain_file_and_a_link_beside_it_may_be_opened(tmp_path):
    path = written(tmp_path / "config.json")
    assert obstacle(path) is None
    assert obstacle(linked(tmp_path / "other.json", "config.json")) is None
    assert obstacle(linked(tmp_path / "whole.json", path)) is None


def test_a_folder_that_is_itself_a_link_may_be_read(tmp_path):
    written(tmp_path / "there" / "config.json")
    assert obstacle(linked(tmp_path / "here", "there") / "config.json") is None


def test_the_hubs_cache_may_be_read(tmp_path):
    snapshot = tmp_path / "models--a" / "snapshots" / "1"
    written(tmp_path / "models--a" / "blobs" / "etag")
    written(tmp_path / "blobs" / "ab" / "xet")
    linked(tmp_path / "models--a" / "blobs" / "shared", "../../blobs/ab/xet")
    assert obstacle(linked(snapshot / "config.json", "../../blobs/etag")) is None
    assert obstacle(linked(snapshot / "model.safetensors", "../../blobs/shared")) is None
    assert obstacle(linked(tmp_path / "mine", snapshot) / "config.json") is None


@pytest.mark.parametrize("snapshot", ["models--a/snapshots/1", "models--a/other/1", "model"])
def test_nothing_else_is_followed_out_of_the_folder(tmp_path, snapshot):
    secret = written(tmp_path / "secret")
    assert "is a link to " in obstacle(linked(tmp_path / snapshot / "config.json", secret))
    blobs = (tmp_path / snapshot).parent.parent / "blobs"
    linked(blobs / "etag", secret)
    assert "outside of its folder" in obstacle(linked(tmp_path / snapshot / "tokenizer.json", blobs / "etag"))


def test_a_file_beyond_the_limit_is_named(tmp_path):
    path = written(tmp_path / "config.json")
    assert obstacle(path, largest=2) is None
    assert obstacle(path, largest=1) == "has 2 bytes, and no such file needs more than 1"


def test_a_name_that_is_none(tmp_path):
    assert "is no path" in obstacle(tmp_path / "a\0b")


def test_the_hub_names_large_files_by_their_digest(tmp_path):
    assert claimed_sha256(linked(tmp_path / "1", f"blobs/{DIGEST}")) == DIGEST
    assert claimed_sha256(linked(tmp_path / "2", f"elsewhere/{DIGEST}")) is None
    assert claimed_sha256(linked(tmp_path / "3", f"blobs/{DIGEST[:40]}")) is None
    assert claimed_sha256(written(tmp_path / "blobs" / DIGEST)) is None


READ = ("config.json", "tokenizer.json", "tokenizer.model", "merges.txt", "a.safetensors", "chat_template.jinja")


@pytest.mark.parametrize("name", [*READ, "additional_chat_templates/a.jinja"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_whatever_transformers_could_open_is_looked_at(tmp_path, name, make):
    written(tmp_path / "README.md")
    check_folder(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make(tmp_path / name)
    with pytest.raises(ModelError, match=rf"model_name: .*{name} is a (pipe|folder|device), and must be a file"):
        check_folder(tmp_path)


def test_what_nothing_opens_is_let_alone(tmp_path):
    os.mkfifo(tmp_path / "notes")
    linked(tmp_path / "README.md", "/etc/passwd")
    (tmp_path / "original").mkdir()
    check_folder(tmp_path)


def test_small_files_are_bounded(tmp_path):
    for name in ("tokenizer.json", "model.safetensors"):
        written(tmp_path / name)
        os.truncate(tmp_path / name, LARGEST_SMALL_FILE + 1)
    with pytest.raises(ModelError, match=r"tokenizer\.json has 268,435,457 bytes, and no such file needs more than"):
        check_folder(tmp_path)
