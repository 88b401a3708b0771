import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.predictions.parquet import read_predictions, write_predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.manifest import Manifest, Pending, read_manifest
from ensemble_uq_llm.storage.sealed_folder import new_sealed_folder
from ensemble_uq_llm.utils.files import sha256_of, write_json
from ensemble_uq_llm.verification.acceptance import accept
from ensemble_uq_llm.verification.verify import verify
from hub_server import Repo
from recording import recorded

CACHED = """
import sys
from pathlib import Path
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.models.base import find_base
from ensemble_uq_llm.verification.outside import _in_the_hubs_cache
for name in ("tests/files/some.gguf", "tests/tiny-llama"):
    config = Config(model_name=name, cache_dir=Path(sys.argv[1]))
    downloaded = find_base(name, revision=None, cache_dir=config.cache_dir)
    print(_in_the_hubs_cache(config) == downloaded)
"""
WEIGHTS = "seed_42/adapter_model.safetensors"


@pytest.fixture
def run(own_run):
    return RunFolder(own_run)


def edit(path, **changes):
    write_json(path, json.loads(path.read_text()) | changes)


def test_a_sound_run_and_what_of_it_was_checked(run):
    audit = verify(run)
    assert (audit.lines(), audit.unchecked) == ([], [])
    assert audit.checked == {"file": 15, "member": 2, "link": 8, "predicted set": 1, "base": 1, "training set": 1}
    assert audit.summary() == "15 files, 2 members, 8 links, 1 predicted set, 1 base, 1 training set"
    assert audit.as_json()["sound"] is True


def test_all_that_is_wrong_is_told_at_once(run):
    run.report.unlink()
    run.decision.write_text("{}")
    run.events.write_bytes(run.events.read_bytes()[:-5])
    (run.root / WEIGHTS).write_bytes(b"x")
    size = read_manifest(run.root).files
    assert verify(run).lines() == [
        "decision.json: not written by this run",
        f"events.jsonl: altered after it was written: {size['events.jsonl'].size - 5:,} bytes, and "
        f"{size['events.jsonl'].size:,} were written",
        "report.html: removed after it was written",
        f"{WEIGHTS}: altered after it was written: 1 bytes, and {size[WEIGHTS].size:,} were written",
    ]


def test_recorded_files_that_do_not_fit_each_other_are_found(run):
    """What a hand that seals anew cannot make fit: each is made, recorded, found, and undone."""
    record, weights = run.root / "seed_42/member.json", run.root / WEIGHTS
    cases = [
        (record, {"weights_sha256": "0"}, f"{WEIGHTS}: not the weights that seed_42/member.json tells of"),
        (record, {"seed": 43}, "seed_42/member.json: the record of another member"),
        (record, {"base_digest": "0"}, "seed_42/member.json: tells of another base than that which"),
        (record, {"data_digest": "0"}, "seed_42/member.json: tells of another data than that which"),
        (
            run.root / "seed_42/adapter_config.json",
            {"lora_alpha": 64},
            "seed_42/adapter_config.json: not as training",
        ),
    ]
    for path, changes, said in cases:
        before = path.read_bytes()
        edit(path, **changes)
        recorded(run)
        assert said in "\n".join(verify(run).lines())
        path.write_bytes(before)
        recorded(run)
    shutil.copy(run.root / "seed_43/adapter_model.safetensors", weights)
    edit(record, weights_sha256=sha256_of(weights))
    recorded(run)
    assert verify(run).lines() == [
        f"predictions/validation.examples.jsonl: made from another {WEIGHTS} than the one there is now; make it again: "
        f"ensemble-uq predict {run.root} --data validation",
        f"predictions/validation.parquet: made from another {WEIGHTS} than the one there is now; make it again: "
        f"ensemble-uq predict {run.root} --data validation",
    ]


def test_a_member_that_predictions_need_may_not_be_forgotten(run):
    shutil.rmtree(run.root / "seed_43")
    recorded(run)
    assert "predictions/validation.parquet: made from seed_43/adapter_model.safetensors, which is gone" in "\n".join(
        verify(run).lines()
    )


def test_base_and_data_are_checked_where_they_are(run, tiny_base, tiny_data, tmp_path):
    base, data = shutil.copytree(tiny_base, tmp_path / "base"), shutil.copy(tiny_data, tmp_path / "data.jsonl")
    text = run.config.read_text().replace(str(tiny_base), str(base)).replace(str(tiny_data), str(data))
    run.config.write_text(text)
    recorded(run)
    assert verify(run).lines() == []
    (base / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes() + b"\n")
    data.write_text(data.read_text().replace("is 3 even", "is 5 even"))
    assert verify(run).lines() == [
        f"{base}/tokenizer.json: altered, as the members were trained on another",
        f"{data}: its examples are not those that the members were trained on",
    ]
    shutil.rmtree(base)
    data.unlink()
    audit = verify(run)
    assert audit.is_sound
    assert [each.partition(":")[0] for each in audit.unchecked] == ["the base", "the training data"]


def test_a_run_of_an_earlier_version_is_checked_as_far_as_it_goes_and_recorded(run):
    run.manifest.unlink()
    (run.root / WEIGHTS).write_bytes(b"x")
    assert verify(run).lines() == [
        "manifest.json: there is no such file: it was removed, or an earlier version wrote the folder",
        f"{WEIGHTS}: not the weights that seed_42/member.json tells of; delete seed_42 and train again",
    ]
    edit(run.root / "seed_42/member.json", weights_sha256=sha256_of(run.root / WEIGHTS))
    accept(run)
    told = read_manifest(run.root).files
    record = json.loads((run.root / "seed_43/member.json").read_text())
    assert told[WEIGHTS.replace("42", "43")].made_from == {"base": record["base_digest"], "data": record["data_digest"]}
    assert told["predictions/validation.parquet"].made_from.keys() == {
        "base", "data", WEIGHTS, WEIGHTS.replace("42", "43"),
    }  # fmt: skip
    assert verify(run).lines() == [
        f"predictions/validation.parquet: made from another {WEIGHTS} than the one there is now; make it again: "
        f"ensemble-uq predict {run.root} --data validation"
    ]


def test_predictions_that_tell_of_other_members_or_another_base_are_found(run):
    """Of an earlier version nothing is known but what the files tell themselves."""
    path = run.predictions("validation")
    predictions = read_predictions(path)
    told = predictions.origin
    for changes, said in (
        ({"weights": {**told.weights, "seed_42": "0"}}, "predicted with other weights of seed_42; make it again"),
        ({"weights": {**told.weights, "seed_9": "0"}}, "predicted with seed_9, which is gone; make it again"),
        ({"base": "0"}, "predicted on another base than seed_42 was trained on; make it again"),
    ):
        run.manifest.unlink()
        write_predictions(path, replace(predictions, origin=replace(told, **changes)))
        recorded(run)
        manifest = read_manifest(run.root)
        entries = {name: replace(each, made_from={}) for name, each in manifest.files.items()}
        run.manifest.write_text(Manifest(files=entries).as_text())
        assert f"predictions/validation.parquet: {said}" in "\n".join(verify(run).lines())
    run.manifest.unlink()
    write_predictions(path, replace(predictions, origin=None))
    recorded(run)
    assert verify(run).unchecked == ["predictions/validation.parquet: it does not tell which members made it"]


def test_a_change_that_cannot_be_completed_is_given_up_where_the_folder_is_accepted(run):
    before = read_manifest(run.root)
    gone = Pending(waiting=".staging/1", files={"config.yaml": before.files["run.json"]})
    (run.root / ".staging").mkdir()
    run.manifest.write_text(Manifest(files=before.files, pending=gone).as_text())
    audit = verify(run)
    assert "a change was interrupted" in audit.unchecked[0]
    with pytest.raises(IntegrityError, match="a change of it was interrupted, and its new content"), run.owned("test"):
        raise AssertionError("nobody may own it")
    accept(run)
    assert read_manifest(run.root) == before
    assert not (run.root / ".staging").exists()


def test_a_link_is_never_recorded(run, tmp_path):
    copy = shutil.copy(run.config, tmp_path / "copy.yaml")
    run.config.unlink()
    run.config.symlink_to(copy)
    (run.root / "predictions/linked.parquet").symlink_to(copy)
    before = read_manifest(run.root)
    accept(run)
    assert read_manifest(run.root) == before
    assert [each for each in verify(run).lines() if "predictions" in each or "config" in each] == [
        "config.yaml: a link is in its place",
        "predictions/linked.parquet: not written by this run",
    ]


def test_a_log_that_grows_is_not_checked(run):
    with run.owned("test"), run.change() as change:
        change.forget(run.events)
        write_json(RunFolder(change.root).run_record, run.record() | {"state": "training"})
    assert verify(run).is_sound
    assert verify(run).unchecked == ["events.jsonl: training is under way, and it grows"]


def test_a_manifest_of_another_program_is_not_overwritten(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "an app"}')
    with pytest.raises(IntegrityError, match="a file of another program"):
        accept(RunFolder(tmp_path))
    assert (tmp_path / "manifest.json").read_text() == '{"name": "an app"}'


def test_a_folder_without_anything_of_ours(tmp_path):
    with pytest.raises(ConfigError, match="neither a run nor an evaluation is here; name the folder of one"):
        verify(RunFolder(tmp_path))


def test_what_file_managers_leave_is_no_finding(run):
    for name in (".DS_Store", "seed_42/.DS_Store", "predictions/Thumbs.db", "metrics/desktop.ini"):
        (run.root / name).touch()
    assert verify(run).lines() == []
    (run.root / "seed_42/.hidden").touch()
    assert verify(run).lines() == ["seed_42/.hidden: not written by this run"]


def test_what_no_command_would_write_beside_is_found(run, tmp_path):
    (run.root / ".staging").mkdir()
    (run.root / ".staging/planted").touch()
    run.manifest.symlink_to(run.manifest.rename(tmp_path / "manifest.json"))
    room = run.root / "metrics"
    room.symlink_to(room.rename(tmp_path / "metrics"))
    assert verify(run).lines() == [
        ".staging/planted: not written by this run",
        "manifest.json: a link is in its place",
        "metrics: a link is in its place",
    ]


def test_a_checkpoint_in_the_place_of_another_is_found(run):
    folder = run.group_checkpoints(44)
    for step in ("step_1", "step_2"):
        with new_sealed_folder(folder / step) as new:
            (new / "state.json").write_text(step)
    assert verify(run).lines() == []
    shutil.rmtree(folder / "step_2")
    shutil.copytree(folder / "step_1", folder / "step_2")
    assert verify(run).lines() == [
        "checkpoints/from_seed_44/step_2: written as 'step_1', so it is not in its place",
    ]


def test_a_base_in_the_hubs_cache_is_found_though_not_all_of_the_repository_is_there(hub, tmp_path):
    """Of a model only what computes is downloaded, and not its README."""
    hub.repos["model", "tests/files"] = Repo(
        kind="model", name="tests/files", files={"some.gguf": b"GGUF", "README.md": b"x", "other.gguf": b"GGUF other"}
    )
    told = subprocess.run(
        [sys.executable, "-c", CACHED, str(tmp_path / "cache")],
        env=hub.environment(tmp_path / "home"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.stdout.split() == ["True", "True"], told.stderr
