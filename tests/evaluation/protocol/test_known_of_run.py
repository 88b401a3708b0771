import json
import shutil
from dataclasses import replace

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
from ensemble_uq_llm.evaluation.files.metrics_json import read_metrics
from ensemble_uq_llm.evaluation.protocol.known_of_run import known_of_run
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import protocol_line
from ensemble_uq_llm.evaluation.records import Protocol
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.run_folder import RunFolder
from small_protocols import ORIGIN, RECORD, member_record, run_of, with_origin


def test_a_run_tells_base_data_and_training_by_their_names(tmp_path):
    assert known_of_run(run_of(tmp_path / "run"), "validation", ORIGIN) == {
        "base": "tiny.gguf",
        "trained_on": "train.jsonl",
        "trained_on_digest": "train0000000ffffffff",
        "train_rows": 60,
        "train_rows_cut": 3,
        "evaluated_on": "dev.jsonl",
        "evaluated_rows_cut": 2,
        "answer_token_ids": (645, 4098),
        "maker": "training",
        "steps": (12,),
        "batch": 16,
        "epochs": 3,
        "keep": "last",
        "kept_epochs": (3,),
        "learning_rate": 2e-4,
        "warmup_steps": 100,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "lora_dropout": 0.1,
        "class_weights": "none",
        "modules": ("q_proj", "v_proj"),
        "layers": "2, 5-7",
        "lora_r": 8,
        "lora_alpha": 16.0,
    }


@pytest.mark.parametrize(
    ("weights", "told"), [("balanced", "balanced"), ([1, 2.5], "1, 2.5"), ({"odd": 1}, None), ([True], None)]
)
def test_the_weights_of_classes(tmp_path, weights, told):
    members = {42: member_record(42, class_weights=weights)}
    origin = replace(ORIGIN, weights={"seed_42": "weights of 42"}, scales={"seed_42": {}})
    assert known_of_run(run_of(tmp_path / "run", members=members), "validation", origin).get("class_weights") == told


def test_members_that_took_unlike_many_steps_are_told_one_by_one(tmp_path):
    members = {seed: member_record(seed, steps=steps, keep="best") | {"kept_epoch": kept}
               for seed, steps, kept in ((42, 12, 3), (43, 8, 2), (44, 12, 3))}  # fmt: skip
    known = known_of_run(run_of(tmp_path / "run", members=members), "validation", ORIGIN)
    assert (known["steps"], known["kept_epochs"], known["keep"]) == ((12, 8, 12), (3, 2, 3), "best")


def test_a_key_that_an_earlier_version_did_not_have_did_what_its_default_does(tmp_path):
    record = member_record(42)
    del record["settings"]["lora_layers"]
    origin = replace(ORIGIN, weights={"seed_42": "w"})
    known = known_of_run(run_of(tmp_path / "run", members={42: record}), "validation", origin)
    assert (known["layers"], known["steps"]) == ("all", (12,))


@pytest.mark.parametrize("odd", [None, 7, "x", [1], {"a": []}, [{"stage": []}], float("1e400")])
def test_records_of_any_content_are_used_or_left_out(tmp_path, odd):
    stages = [odd, {"stage": "train", "base_digest": odd, "data_digest": odd, "examples": odd, "cut": odd}]
    record = {"stages": stages, "answer_token_ids": odd}
    members = {
        42: {"settings": odd, "steps": odd, "data_digest": odd},
        43: {"settings": dict.fromkeys(member_record(43)["settings"], odd)},
    }
    origin = replace(ORIGIN, weights={"seed_42": "w", "seed_43": "w"})
    known = known_of_run(run_of(tmp_path / "run", record=record, members=members), "validation", origin)
    protocol_line(replace(Protocol(), **known))
    assert not {"steps", "train_rows", "base", "trained_on_digest"} & set(known)


def test_of_predictions_without_an_origin_the_run_tells_nothing(tmp_path):
    assert known_of_run(run_of(tmp_path / "run"), "validation", None) == {}


def test_a_base_that_is_another_is_not_called_by_the_configurations_name(tmp_path):
    known = known_of_run(run_of(tmp_path / "run"), "validation", replace(ORIGIN, base="another"))
    assert "base" not in known


def test_of_adapters_made_elsewhere_no_training_is_known(tmp_path):
    known = known_of_run(run_of(tmp_path / "run"), "validation", replace(ORIGIN, foreign=True))
    assert not {"steps", "trained_on", "train_rows", "modules"} & set(known)
    assert known["base"] == "tiny.gguf"


def test_a_member_that_is_not_there_tells_nothing_for_the_others_either(tmp_path):
    members = {42: member_record(42), 43: member_record(43)}
    known = known_of_run(run_of(tmp_path / "run", members=members), "validation", ORIGIN)
    assert not {"steps", "train_rows", "modules"} & set(known)


@pytest.mark.parametrize(
    ("source", "name"),
    [("calibration", "held out of the training data"), ("/data/far.jsonl", "far.jsonl"), ("test", "boolq[test]")],
)
def test_what_was_evaluated(tmp_path, source, name):
    known = known_of_run(run_of(tmp_path / "run"), "validation", replace(ORIGIN, source=source))
    assert known["evaluated_on"] == name


def test_a_data_set_by_its_name(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.change() as change:
        (change.root / "config.yaml").write_text("dataset: rte\nmodel_name: org/name\nmodel_revision: abc\n")
        (change.root / "run.json").write_text(json.dumps({"stages": []}))
    known = known_of_run(folder, "validation", ORIGIN)
    assert known == {"base": "org/name", "base_revision": "abc", "trained_on": "rte", "evaluated_on": "rte[validation]"}


def test_an_evaluated_run_has_it_in_its_metrics(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.change() as change:
        (change.root / "config.yaml").write_text("dataset: rte\nmodel_name: org/name\nhead: answer\n")
        (change.root / "run.json").write_text(json.dumps({**RECORD, "stages": RECORD["stages"][3:]}))
        (change.root / "predictions").mkdir()
        write_predictions(change.root / "predictions" / "validation.parquet", with_origin())
    evaluate_run(folder, draws=0)
    metrics = read_metrics(folder.metrics("validation"))
    assert (metrics.protocol.base, metrics.protocol.answer_token_ids) == ("org/name", (645, 4098))
    assert "base org/name (base00000000), bfloat16" in metrics.protocol_line
    assert "' no' (token 645), ' yes' (token 4098)" in metrics.protocol_line
    shutil.copy(folder.metrics("validation"), tmp_path / "first.json")
    evaluate_run(folder, draws=0)
    assert folder.metrics("validation").read_bytes() == (tmp_path / "first.json").read_bytes()


def test_a_record_that_was_altered_is_refused(tmp_path):
    folder = run_of(tmp_path / "run")
    folder.run_record.write_text(json.dumps({"stages": []}))
    with pytest.raises(IntegrityError, match=r"run\.json"):
        known_of_run(folder, "validation", ORIGIN)


def test_samples_tell_their_maker_and_how_their_parents_were_trained(tmp_path):
    trained = member_record(42)
    training = {key: trained.pop(key) for key in ("settings", "steps", "kept_epoch")}
    origin = replace(ORIGIN, weights={"seed_42": "w"})
    record = trained | {"maker": "tfb", "parent": {"folder": "x", "training": training}}
    known = known_of_run(run_of(tmp_path / "sampled", members={42: record}), "validation", origin)
    of_training = known_of_run(run_of(tmp_path / "run", members={42: member_record(42)}), "validation", origin)
    assert known == of_training | {"maker": "tfb"}
    del record["parent"]["training"]
    given = known_of_run(run_of(tmp_path / "given", members={42: record}), "validation", origin)
    assert given["maker"] == "tfb"
    assert given.keys() & {"trained_on", "steps", "lora_r", "epochs", "learning_rate"} == set()
