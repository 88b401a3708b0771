"""What is at the places of a run before it is trained, and whether there is room for it."""

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.planning import room
from ensemble_uq_llm.training.planning.room import check_places, check_space
from recorded_disk import tree_of
from small_commands import command, small_config


def _link(path: Path) -> None:
    (path.parents[2] / "elsewhere").mkdir(exist_ok=True)
    path.symlink_to(path.parents[2] / "elsewhere")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _file(path: Path) -> None:
    path.write_text("somebody's", encoding="utf-8")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may not be long
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


KINDS: dict[str, Callable[[Path], None]] = {
    "link": _link, "dangling": _dangling, "file": _file, "folder": Path.mkdir, "fifo": lambda path: os.mkfifo(path),
    "socket": _socket,
}  # fmt: skip
"""What somebody else may have put at a place."""

FILES = ("config.yaml", "run.json", "events.jsonl", "manifest.json", ".lock", "decision.json", "report.html",
         "predictions/validation.parquet", "predictions/validation.examples.jsonl", "metrics/validation.json",
         "seed_42/adapter_model.safetensors", "seed_42/notes.txt", "uncertainty/validation.csv",
         "scores/validation.csv")  # fmt: skip
FOLDERS = (".staging", "checkpoints", "checkpoints/from_seed_42", "tensorboard", "wandb", "predictions", "metrics",
           "uncertainty", "scores", "seed_42", "seed_43")  # fmt: skip
CASES = [(path, kind) for path in FILES for kind in KINDS] + [
    (path, kind) for path in FOLDERS for kind in KINDS if kind != "folder"
]


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_base, tiny_data):
    """A configuration whose run folder has not been made."""
    return small_config(tmp_path_factory.mktemp("config"), tiny_base, tiny_data)


def _seen(root: Path) -> dict[str, object]:
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize(("path", "kind"), CASES, ids=[f"{kind} {path}" for path, kind in CASES])
def test_what_is_not_ours_is_refused_before_training_and_left_alone(tmp_path, config, path, kind):
    run = tmp_path / "a" / "run"
    (run / path).parent.mkdir(parents=True)
    KINDS[kind](run / path)
    before = _seen(tmp_path)
    told = command("train", str(config), "--set", f"output_dir={run}")
    assert told.raised is None, told
    assert told.code in (2, 5), told
    assert f"error: {run}" in told.text, told
    assert "training 2 members" not in told.text
    assert _seen(tmp_path) == before
    checked = command("validate", str(config), "--set", f"output_dir={run}")
    if path != ".lock":  # which only an owner looks at
        assert checked.code in (2, 5), checked
    assert _seen(tmp_path) == before


def test_members_that_are_there_are_not_looked_at(own_run):
    (own_run / "seed_42" / "mine.txt").write_text("mine", encoding="utf-8")
    check_places(RunFolder(own_run), [44])
    with pytest.raises(StorageError, match=r"seed_42/mine\.txt: a file that this run did not write"):
        check_places(RunFolder(own_run), [42])


def test_a_member_whose_folder_was_deleted_is_trained_anew(own_run):
    shutil.rmtree(own_run / "seed_43")
    assert command("train", str(own_run), "--set", f"output_dir={own_run}").code == 0
    assert (own_run / "seed_43" / "member.json").is_file()


def _state(numbers: int, *, members: int = 1, best: object = None) -> SimpleNamespace:
    stack = torch.empty(members, numbers, device="meta")
    return SimpleNamespace(ensemble=SimpleNamespace(trainable=lambda: [stack]), best=best)


@pytest.mark.parametrize(
    ("free", "best", "fits"),
    [(40, None, True), (39, None, False), (52, object(), True), (51, object(), False)],
)
def test_members_and_three_checkpoints_must_fit(tmp_path, monkeypatch, free, best, fits):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, free=free * 1_000_000))
    state = _state(1_000_000, best=best)
    if fits:
        check_space(RunFolder(tmp_path), state, seeds=[42])
        return
    with pytest.raises(StorageError, match=rf"needs \d+\.0 MB for the members and their checkpoints, and {free}\.0 MB"):
        check_space(RunFolder(tmp_path), state, seeds=[42])


@pytest.mark.parametrize(("trained", "kept", "needed"), [(0, 0, 160), (1, 0, 120), (3, 0, 40), (0, 30, 130), (4, 0, 0)])
def test_what_all_devices_write_must_fit_together_and_what_is_kept_is_there(
    tmp_path, monkeypatch, trained, kept, needed
):
    """Four members, two a device: this device's state holds two of them."""
    seeds = (42, 43, 44, 45)
    for seed in seeds[:trained]:
        (tmp_path / f"seed_{seed}").mkdir()
        (tmp_path / f"seed_{seed}" / "member.json").touch()
    checkpoint = tmp_path / "checkpoints" / "from_seed_44" / "step_00000001_epoch_0000"
    checkpoint.mkdir(parents=True)
    with (checkpoint / "state.safetensors").open("wb") as stream:
        stream.truncate(kept * 1_000_000)
    for free, fits in ((needed + 1, True), (max(0, needed - 1), needed == 0)):
        monkeypatch.setattr(
            room.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(total=10**9, free=free * 1_000_000)
        )
        with nullcontext() if fits else pytest.raises(StorageError, match=f"needs {needed}.* MB .* and {free}.0 MB"):
            check_space(RunFolder(tmp_path), _state(1_000_000, members=2), seeds=seeds)


def test_a_file_system_that_tells_no_size_is_not_full(tmp_path, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(total=0, free=0))
    check_space(RunFolder(tmp_path), _state(1_000), seeds=[42])


def test_small_sizes_are_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, free=4096))
    with pytest.raises(StorageError, match=r"needs 40\.0 kB for .*, and 4\.1 kB are free"):
        check_space(RunFolder(tmp_path), _state(1_000), seeds=[42])


def test_a_disk_that_is_too_small_is_told_before_training(tmp_path, config, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, free=10))
    told = command("train", str(config), "--set", f"output_dir={tmp_path / 'run'}")
    assert told.code == 2
    assert f"output_dir: {tmp_path / 'run'} needs" in told.text
    assert tree_of(tmp_path) == {}
