import os
import re
import shutil
from collections import namedtuple

import pytest

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.keeping.room import check_places, check_space
from small_training import SEEDS, config, fresh_state, stack


@pytest.mark.parametrize("name", ["seed_3/notes.txt", "seed_3/member.json", "config.yaml", "run.json", "events.jsonl"])
@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_what_others_have_put_there_is_named_and_left(name, kind, tmp_path):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    {"file": place.touch, "link": lambda: place.symlink_to("/etc/hostname"), "pipe": lambda: os.mkfifo(place)}[kind]()
    with pytest.raises(StorageError, match=re.escape(str(place))):
        check_places(RunFolder(tmp_path), [3])
    assert place.is_symlink() or place.exists()


def test_an_empty_folder_and_one_that_is_not_there_are_free(tmp_path):
    check_places(RunFolder(tmp_path), [3])
    check_places(RunFolder(tmp_path / "none"), [3])


def test_a_disk_that_is_too_small_is_told_with_what_is_needed(tiny_base, tmp_path, monkeypatch):
    settings = config()
    state = fresh_state(stack(tiny_base, settings, SEEDS), settings)
    member = sum(4 * each.numel() for each in state.ensemble.trainable())
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 * member))
    check_space(RunFolder(tmp_path), state)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 * member - 1))
    with pytest.raises(StorageError, match=r"needs .* MB for the members and their checkpoints, and .* MB are free"):
        check_space(RunFolder(tmp_path), state)
