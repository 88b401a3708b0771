"""Whatever is where a command is told to write: told before any work, by its name, and left as it is."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from small_commands import Told, command, small_config


@pytest.fixture
def place(tmp_path):
    """A folder with what may be in the way; `read only` is a disk, as nothing else is read-only for root."""
    (tmp_path / "file").write_text("somebody's", encoding="utf-8")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "read only").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(tmp_path / "read only")]
    mounted = shutil.which("mount") and not subprocess.run(mount, capture_output=True, check=False).returncode
    if not mounted:
        (tmp_path / "read only").chmod(0o500)
    yield tmp_path
    if mounted:
        subprocess.run(["umount", str(tmp_path / "read only")], check=True)
    else:
        (tmp_path / "read only").chmod(0o700)


PLACES = {
    "file": "a file, where a folder is to be",
    "file/run": "a file, where a folder is to be",
    "circle": "a link that leads nowhere",
    "circle/run": "a link that leads nowhere",
    "dangling": "a link that leads nowhere",
    "dangling/run": "a link that leads nowhere",
    "read only": "cannot be written",
    "read only/run": "cannot be written",
    "n" * 300: "must not hold a name of more than 255 bytes",
    "new/" + "n" * 300: "must not hold a name of more than 255 bytes",
    "a/" * 2500 + "run": "must have at most 4,095 bytes",
}


def seen(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def is_told(told: Told, place: Path, words: str) -> None:
    assert told.raised is None, told
    assert told.code == 2, told
    assert str(place) in told.text, told
    assert words in told.text, told


@pytest.mark.parametrize("name", PLACES, ids=lambda name: name[:20])
def test_run_folders(place, tiny_base, tiny_data, tmp_path_factory, name):
    config, before = small_config(tmp_path_factory.mktemp("config"), tiny_base, tiny_data), seen(place)
    for verb in (["train"], ["validate"], ["run"]):
        told = command(*verb, str(config), "--set", f"output_dir={json.dumps(str(place / name))}")
        is_told(told, place, PLACES[name])
        assert "training 2 members" not in told.text
    is_told(command("demo", "--output-dir", str(place / name)), place, PLACES[name])
    assert seen(place) == before


@pytest.mark.parametrize("name", PLACES, ids=lambda name: name[:20])
def test_the_output_of_an_evaluation(place, finished_run, name):
    before, file = seen(place), str(finished_run / "predictions" / "validation.parquet")
    is_told(command("evaluate", file, "--draws", "100", "--output", str(place / name)), place, PLACES[name])
    assert seen(place) == before


@pytest.mark.parametrize("name", ["", "a\0b", "a\udcff", "\ud800"], ids=ascii)
def test_what_no_folder_can_be_called(place, finished_run, tiny_base, tiny_data, tmp_path_factory, monkeypatch, name):
    monkeypatch.chdir(place)
    before, file = seen(place), str(finished_run / "predictions" / "validation.parquet")
    config = small_config(tmp_path_factory.mktemp("config"), tiny_base, tiny_data)
    for told in (
        command("train", str(config), "--set", f"output_dir={json.dumps(name)}"),
        command("validate", str(config), "--set", f"output_dir={json.dumps(name)}"),
        command("demo", "--output-dir", name),
        command("evaluate", file, "--output", name),
        command("init", name),
        command("doctor", name),
    ):
        assert told.raised is None, told
        assert told.code == 2, told
    assert seen(place) == before


def test_a_link_to_a_folder_is_a_folder(place, tiny_base, tiny_data, tmp_path_factory):
    config = small_config(tmp_path_factory.mktemp("config"), tiny_base, tiny_data)
    assert command("train", str(config), "--set", f"output_dir={place / 'link'}").code == 0
    assert (place / "link").is_symlink()
    assert (place / "real" / "run.json").is_file()


def test_a_template_is_written_over_nothing_and_through_nothing(place):
    before = seen(place)
    for name in ("file", "circle", "dangling", "link", "file/new.yaml", "read only/new.yaml", "n" * 300):
        is_told(command("init", str(place / name)), place, "")
    assert seen(place) == before
    assert command("init", str(place / "new.yaml")).code == 0


def test_the_files_of_others_in_the_output_of_an_evaluation(place, finished_run):
    file = str(finished_run / "predictions" / "validation.parquet")
    (place / "out" / "metrics").mkdir(parents=True)
    (place / "out" / "metrics" / "validation.json").write_text("mine", encoding="utf-8")
    told = command("evaluate", file, "--draws", "100", "--output", str(place / "out"))
    is_told(told, place, "a file that this run did not write, and it is not overwritten")
    assert (place / "out" / "metrics" / "validation.json").read_text(encoding="utf-8") == "mine"
    (place / "out" / "metrics" / "validation.json").unlink()
    assert command("evaluate", file, "--draws", "100", "--output", str(place / "out")).code == 0
