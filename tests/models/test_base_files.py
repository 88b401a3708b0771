"""The record of a base's files: cheap where nothing changed, and no byte changes unnoticed."""

import hashlib
import json
import os
import re
import socket
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models import base_files as module
from ensemble_uq_llm.models.base_files import TEMPLATE, base_files, differing, digest_of
from ensemble_uq_llm.utils.files import sha256_of
from hub_content import tiny_llama_files


@pytest.fixture
def folder(tmp_path) -> Path:
    """A base that a test may spoil."""
    folder = tmp_path / "base"
    folder.mkdir()
    for name, body in tiny_llama_files().items():
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the files that are read in full, as they are."""
    names: list[str] = []
    monkeypatch.setattr(module, "sha256_of", lambda path: names.append(path.name) or sha256_of(path))
    return names


def flip(path: Path, index: int = -1) -> None:
    body = bytearray(path.read_bytes())
    body[index] ^= 1
    path.write_bytes(body)


def in_hub_cache(folder: Path, cache: Path, *, shared: bool = False) -> Path:
    """Lay the base out as the hub's cache does: a snapshot of links to blobs, shared between repositories or not."""
    repository = cache / "models--a--b"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for path in folder.iterdir():
        blob = repository / "blobs" / (sha256_of(path) if path.suffix == ".safetensors" else f"etag-{path.name}")
        if shared:
            other = cache / "blobs" / "ab" / hashlib.sha256(f"not of {path.name}".encode()).hexdigest()
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(path.read_bytes())
            blob.symlink_to(os.path.relpath(other, blob.parent))
        else:
            blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def test_the_record_is_plain_json_and_its_digest_is_over_names_and_contents(folder):
    files = base_files(folder)
    assert json.loads(json.dumps(files)) == files
    listing = {path.name: sha256_of(path) for path in folder.iterdir() if path.suffix in (".json", ".safetensors")}
    assert {name: file["sha256"] for name, file in files.items()} == listing
    assert digest_of(files) == hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def test_what_has_the_recorded_size_and_times_is_not_read_again(folder, read):
    files = base_files(folder)
    assert sorted(read) == sorted(files)
    read.clear()
    assert base_files(folder, files) == files
    assert read == []
    assert base_files(folder, files, full=True) == files
    assert sorted(read) == sorted(files)


def test_only_what_changed_is_read(folder, read):
    files = base_files(folder)
    read.clear()
    flip(folder / "model.safetensors")
    assert differing(base_files(folder, files), files) == {"model.safetensors": "altered"}
    assert read == ["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_clock_that_is_set_back_hides_nothing(folder, name):
    files = base_files(folder)
    times = (folder / name).stat()
    flip(folder / name)
    os.utime(folder / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (folder / name).stat().st_mtime_ns == times.st_mtime_ns
    assert differing(base_files(folder, files), files) == {name: "altered"}  # by the time of its inode


def test_a_record_that_lies_about_the_times_is_found_out_in_full(folder):
    files = base_files(folder)
    flip(folder / "model.safetensors")
    now = (folder / "model.safetensors").stat()
    files["model.safetensors"] |= {"mtime_ns": now.st_mtime_ns, "ctime_ns": now.st_ctime_ns}
    assert differing(base_files(folder, files), files) == {}
    assert differing(base_files(folder, files, full=True), files) == {"model.safetensors": "altered"}


def test_another_copy_has_other_times_and_the_same_digest(folder, tmp_path, read):
    files = base_files(folder)
    read.clear()
    copy = folder.rename(tmp_path / "moved")
    (copy / "config.json").touch()
    again = base_files(copy, files)
    assert read == ["config.json"]
    assert differing(again, files) == {}
    assert digest_of(again) == digest_of(files)
    assert again != files


def test_files_that_came_and_went_are_named(folder):
    files = base_files(folder)
    (folder / "added_tokens.json").write_text("{}")
    (folder / "tokenizer.json").unlink()
    (folder / "README.md").write_text("says nothing about the model")
    now = base_files(folder, files)
    assert differing(now, files) == {"added_tokens.json": "added", "tokenizer.json": "missing"}
    assert digest_of(now) != digest_of(files)


def test_an_older_tokenizer_counts_where_it_is_read(folder):
    (folder / "merges.txt").write_text("a b")
    with_both = digest_of(base_files(folder))
    (folder / "merges.txt").write_text("b a")
    assert digest_of(base_files(folder)) == with_both, "tokenizer.json is read, and nothing else"
    (folder / "tokenizer.json").unlink()
    files = base_files(folder)
    (folder / "merges.txt").write_text("a b")
    assert differing(base_files(folder, files), files) == {"merges.txt": "altered"}


def test_a_chat_template_counts_where_it_was_recorded_or_prompts_stand_in_it(folder):
    before = base_files(folder)  # as records of earlier versions are, and those of a base without one
    (folder / TEMPLATE).write_text("{{ messages }}")
    assert differing(base_files(folder, before), before) == {}
    assert differing(base_files(folder, before, templated=True), before) == {TEMPLATE: "added"}
    files = base_files(folder)
    assert TEMPLATE in files
    (folder / TEMPLATE).write_text("{{ messages }}!")
    assert differing(base_files(folder, files), files) == {TEMPLATE: "altered"}


@pytest.mark.parametrize("shared", [False, True])
def test_the_hubs_cache_is_taken_at_its_word_until_it_is_asked_in_full(folder, tmp_path, read, shared):
    plain = base_files(folder)
    snapshot = in_hub_cache(folder, tmp_path / "hub", shared=shared)
    read.clear()
    files = base_files(snapshot)
    assert "model.safetensors" not in read
    assert digest_of(files) == digest_of(plain)
    weights = (snapshot / "model.safetensors").resolve()
    times = weights.stat()
    flip(weights)
    assert digest_of(base_files(snapshot)) == digest_of(plain), "the hub's name is believed without a record"
    assert differing(base_files(snapshot, files), files) == {"model.safetensors": "altered"}
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert differing(base_files(snapshot, full=True), files) == {"model.safetensors": "altered"}


def test_a_file_that_is_written_meanwhile_is_named(folder, monkeypatch):
    def grows(path: Path) -> str:
        digest = sha256_of(path)
        path.write_bytes(path.read_bytes() + b" ")
        return digest

    monkeypatch.setattr(module, "sha256_of", grows)
    with pytest.raises(ModelError, match=r"config\.json changed while it was read; run the command again"):
        base_files(folder)


def replaced_by_pipe(path: Path) -> None:
    os.mkfifo(path)


def replaced_by_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as each:
        each.bind(path.name)


STRANGE = {
    "is a folder, and must be a file": Path.mkdir,
    "is a pipe, and must be a file": replaced_by_pipe,
    "is a socket, and must be a file": replaced_by_socket,
    "is a device, and must be a file": lambda path: path.symlink_to("/dev/zero"),
    "is a link to /etc/passwd, outside of its folder; copy that file": lambda path: path.symlink_to("/etc/passwd"),
    "cannot be read (No such file or directory)": lambda path: path.symlink_to("nowhere"),
    "cannot be read (Too many levels of symbolic links)": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("reason", STRANGE)
def test_what_is_no_file_of_the_folder_is_never_opened(folder, reason, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "tokenizer.json").unlink()
    STRANGE[reason](folder / "tokenizer.json")
    with pytest.raises(ModelError, match=f"model_name: .*tokenizer.json {re.escape(reason)}"):
        base_files(folder)


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere cannot be read \(No such file or directory\)"):
        base_files(tmp_path / "nowhere")


def test_a_gguf_file_is_known_by_its_bytes_and_not_by_its_name(tmp_path):
    first, renamed, other = (tmp_path / f"{name}.gguf" for name in ("first", "renamed", "other"))
    for path, body in ((first, b"GGUF a"), (renamed, b"GGUF a"), (other, b"GGUF b")):
        path.write_bytes(body)
    files = base_files(first)

    assert digest_of(base_files(renamed, files)) == digest_of(base_files(renamed, files, full=True)) == digest_of(files)
    assert differing(base_files(renamed, files), files) == {}
    assert differing(base_files(other, files), files) == {"first.gguf": "altered"}


def test_a_folder_in_place_of_a_file_is_not_the_base(folder, tmp_path):
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    file = base_files(tmp_path / "some.gguf")
    assert differing(base_files(folder, file), file) == {"": "not the base"}
    assert differing(file, base_files(folder)) == {"": "not the base"}
