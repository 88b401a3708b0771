import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError, IntegrityError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.evaluate import evaluate_sets
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files, evaluate_run
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.freshness import absent_members, check_fresh, weights_of
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.run import Run, compare
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.files import read_json, write_json
from recording import recorded
from small_predictions import predicted

WEIGHTS = {"seed_42": "a", "seed_43": "b", "seed_44": "c"}
ORIGIN = Origin(weights=WEIGHTS, base="base", data="data")


def made(n=30, *, seed=0, members=3, **changes):
    """Predictions of ours: of the first members of WEIGHTS, with what is changed of their origin."""
    return replace(predicted(n=n, seed=seed, members=members), origin=replace(ORIGIN, **changes))


@pytest.fixture
def folder(tmp_path):
    """A run of three members that has predicted validation, calibration and a data file under another name."""
    folder = RunFolder(tmp_path / "my run")
    for name, digest in WEIGHTS.items():
        write_json(folder.root / name / "member.json", {"weights_sha256": digest})
    write_predictions(folder.predictions("validation"), made(source="validation"))
    write_predictions(folder.predictions("calibration"), made(seed=1, source="calibration"))
    write_predictions(folder.predictions("far"), made(seed=2, source="/data/news 1.jsonl"))
    recorded(folder)
    return folder


def retrain(folder, seed, digest="other"):
    write_json(folder.member_record(MemberId(seed)), {"weights_sha256": digest})
    recorded(folder)


def test_what_the_run_has_made_itself_is_evaluated(folder):
    assert evaluate_run(folder, draws=0).keys() == {"validation", "far"}


def test_after_a_further_member_every_set_is_stale_and_the_commands_are_told(folder):
    retrain(folder, 7, digest="d")
    with pytest.raises(DataError) as told:
        evaluate_run(folder, draws=0)
    run = f"ensemble-uq predict {shlex.quote(str(folder.root))}"
    assert str(told.value).splitlines() == [
        f"{folder.root}: 3 of 3 predicted sets are stale; the run's members are seed 7, seed 42, seed 43 and seed 44 "
        "now:",
        "  validation: predicted without seed 7",
        "  far: predicted without seed 7",
        "  calibration: predicted without seed 7",
        "Predict again what is to be evaluated; delete the files of predictions that are not, and record that "
        f"(ensemble-uq verify {shlex.quote(str(folder.root))} --accept):",
        f"  {run} --data validation --data calibration",
        f"  {run} --data '/data/news 1.jsonl' --name far",
    ]
    assert not folder.metrics("validation").exists()


def test_a_member_that_was_trained_again_is_noticed(folder):
    retrain(folder, 43)
    with pytest.raises(DataError, match=r"validation: predicted with other weights of seed 43\n"):
        evaluate_run(folder, draws=0)


def test_a_member_that_is_gone_is_noticed(folder):
    shutil.rmtree(folder.member(MemberId(44)))
    with pytest.raises(IntegrityError, match=r"seed_44/member\.json: removed after it was written; restore the member"):
        evaluate_run(folder, draws=0, seeds=(42, 43, 44))
    recorded(folder)
    with pytest.raises(DataError, match=r"far: predicted with seed 44\n"):
        evaluate_run(folder, draws=0)


def test_only_what_is_stale_is_named(folder):
    retrain(folder, 43)
    weights = WEIGHTS | {"seed_43": "other"}
    for name in ("validation", "calibration"):
        write_predictions(folder.predictions(name), made(weights=weights, source=name))
    recorded(folder)
    with pytest.raises(DataError, match=r"1 of 3 predicted sets is stale") as told:
        evaluate_run(folder, draws=0)
    assert "validation" not in str(told.value)


def test_a_run_whose_adapters_were_deleted_is_evaluated_still(folder):
    for seed in (42, 43, 44):
        shutil.rmtree(folder.member(MemberId(seed)))
    recorded(folder)
    assert evaluate_run(folder, draws=0).keys() == {"validation", "far"}


def test_members_that_were_left_out_on_purpose(folder):
    for name in ("validation", "calibration", "far"):
        write_predictions(folder.predictions(name), made(members=2, seed=len(name)))
    recorded(folder)
    with pytest.raises(DataError, match="validation: predicted without seed 44"):
        evaluate_run(folder, draws=0)
    assert evaluate_run(folder, seeds=(42, 43), draws=0)["far"].metrics.members == 2


def test_sets_of_given_adapters_are_not_the_runs_but_are_not_mixed_with_its_own_either(folder):
    write_predictions(folder.predictions("validation"), made(foreign=True, weights=WEIGHTS | {"seed_42": "mine"}))
    recorded(folder)
    with pytest.raises(DataError, match=r"far and validation are predictions of different members.*weights of seed 42"):
        evaluate_run(folder, draws=0)
    folder.predictions("far").unlink()
    folder.predictions("calibration").unlink()
    retrain(folder, 7)
    assert evaluate_run(folder, draws=0).keys() == {"validation"}


def test_an_earlier_version_told_no_digests(folder):
    for name in ("validation", "calibration", "far"):
        write_predictions(folder.predictions(name), predicted(seed=len(name)))
    recorded(folder)
    with pytest.warns(UserWarning, match="^validation, far and calibration: predictions that do not tell the digests"):
        evaluate_run(folder, draws=0)
    retrain(folder, 7)
    with pytest.raises(DataError, match=r"far: predicted without seed 7\n(.*\n)+  .* --data FILE --name far  "):
        evaluate_run(folder, draws=0)


OTHERS = [
    ({"members": 2}, "without seed 44"),
    ({"members": 4}, "with seed 45"),
    ({"weights": WEIGHTS | {"seed_44": "other"}}, "with other weights of seed 44"),
    ({"base": "other"}, "on another base"),
]


@pytest.mark.parametrize(("changes", "said"), OTHERS)
def test_sets_of_other_members_are_never_compared(changes, said, tmp_path):
    far = made(seed=2, **changes)
    with pytest.raises(
        DataError, match=f"far and near are predictions of different members, .*: far was predicted {said}"
    ):
        evaluate_sets({"near": made(), "far": far}, draws=0)
    assert evaluate_sets({"near": made(), "far": far}, compared=False, draws=0).keys() == {"near", "far"}
    write_predictions(tmp_path / "near.parquet", made())
    write_predictions(tmp_path / "far.parquet", far)
    with pytest.raises(DataError, match=said):
        evaluate_files(tmp_path / "near.parquet", shifts={"far": tmp_path / "far.parquet"}, draws=0)


@pytest.mark.parametrize(("changes", "said"), [each for each in OTHERS if each[0] != {"members": 4}])
def test_nothing_is_fitted_on_what_other_members_predicted(changes, said):
    held_out = made(seed=2, **changes)
    with pytest.raises(DataError, match=f"calibration and near are .*: calibration was predicted {said}"):
        evaluate_sets({"near": made()}, calibration=held_out, compared=False, draws=0)


def test_a_calibration_set_may_have_further_members():
    fitted = evaluate_sets({"near": made()}, calibration=made(seed=2, members=4), draws=0)["near"].fitted
    assert fitted.members == trained((42, 43, 44))


def test_a_decision_holds_for_the_weights_that_it_was_fitted_on(tmp_path):
    fitted = evaluate_sets({"near": made()}, calibration=made(seed=2), draws=0)["near"].fitted
    fitted.write(tmp_path / "decision.json")
    read, rng = Fitted.read(tmp_path / "decision.json"), np.random.default_rng(0)
    assert read == fitted
    assert len(read.apply(made(seed=3), rng=rng).score_N) == 30
    with pytest.raises(DataError, match="the set was predicted with other weights of seed 43 than the calibration set"):
        read.apply(made(seed=3, weights=WEIGHTS | {"seed_43": "other"}), rng=rng)


def test_foreign_sets_without_digests_are_evaluated_in_silence():
    sets = {"near": predicted(), "far": predicted(seed=2)}
    assert evaluate_sets(sets, calibration=predicted(seed=3), draws=0).keys() == sets.keys()


def test_one_set_without_digests_beside_another_is_told():
    with pytest.warns(UserWarning, match="^far: predictions that do not tell the digests"):
        evaluate_sets({"near": made(), "far": predicted(seed=2)}, draws=0)


def test_runs_are_compared_by_what_they_are_now(folder, tmp_path):
    other = tmp_path / "b.parquet"
    write_predictions(other, made(members=2, weights={"seed_42": "x"}))
    assert compare(folder.root, other, draws=100).members_b == 2
    retrain(folder, 43)
    with pytest.raises(DataError, match="2 of 2 predicted sets are stale"):
        compare(other, folder.root, draws=100)


def test_a_torn_record_is_told(folder):
    folder.member_record(MemberId(43)).write_text("{")
    with pytest.raises(IntegrityError, match=r"member\.json: altered after it was written"):
        weights_of(folder, trained([43]))
    recorded(folder)
    with pytest.raises(IntegrityError, match=r"member\.json: this is no JSON .*train again to get the member back"):
        weights_of(folder, trained([43]))


def test_absent_members_are_named_with_their_reasons(folder):
    failed = {"seed_7": "diverged at step 3", "seed_42": "an old story"}
    write_json(folder.run_record, {"stages": [], "failed": failed})
    recorded(folder)
    assert absent_members(folder, (42, 7, 8)) == "seed 7 (diverged at step 3) and seed 8 (not trained)"
    assert absent_members(folder, (42,)) == ""
    with pytest.warns(UserWarning, match=r"my run: without seed 7 \(diverged at step 3\); the other members are used"):
        check_fresh(folder, {}, seeds=(42, 7))


def test_a_trained_run_knows_its_predictions(own_run):
    run = Run(own_run)
    origin = run.predictions().origin
    records = {name: read_json(own_run / name / "member.json") for name in ("seed_42", "seed_43")}
    assert origin.weights == {name: record["weights_sha256"] for name, record in records.items()}
    assert {origin.base} == {record["base_digest"] for record in records.values()}
    assert (origin.source, origin.foreign) == ("validation", False)


def scaled(folder, alpha, *, record=4.0):
    """Give seed 43 an adapter's settings with this lora_alpha; its record says what training wrote."""
    member = MemberId(43)
    write_json(folder.adapter_settings(member), {"r": 4, "lora_alpha": alpha, "peft_version": "0.1"})
    write_json(folder.member_record(member), {"weights_sha256": "b", "settings": {"lora_r": 4, "lora_alpha": record}})
    recorded(folder)


def test_the_same_weights_with_an_altered_scale_are_refused_before_anything_is_evaluated(folder):
    scaled(folder, 4)
    assert evaluate_run(folder, draws=0).keys() == {"validation", "far"}
    scaled(folder, 64)
    with pytest.raises(
        IntegrityError, match=r"seed_43/adapter_config\.json: not as training .* lora_alpha is 64, not 4"
    ):
        evaluate_run(folder, draws=0)


def test_sets_predicted_with_the_same_weights_at_another_scale_are_told_apart(folder):
    scales = {"seed_43": {"r": 4, "lora_alpha": 4}}
    one, other = made(scales=scales), made(seed=1, scales={"seed_43": {"r": 4, "lora_alpha": 64}})
    with pytest.raises(DataError, match=r"b was predicted with another scale \(lora_alpha .* of seed 43"):
        evaluate_sets({"a": one, "b": other}, draws=0)
    assert evaluate_sets({"a": one, "b": made(seed=1)}, draws=0).keys() == {"a", "b"}  # an earlier version's
    assert evaluate_sets({"a": one, "b": made(seed=1, scales=scales)}, draws=0).keys() == {"a", "b"}
    scaled(folder, 4)
    write_predictions(folder.predictions("validation"), made(scales={"seed_43": {"r": 4, "lora_alpha": 64}}))
    recorded(folder)
    with pytest.raises(DataError, match="validation: predicted with another scale"):
        evaluate_run(folder, draws=0)
