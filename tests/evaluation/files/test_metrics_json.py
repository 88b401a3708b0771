import json
from dataclasses import replace

import pytest

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files
from ensemble_uq_llm.evaluation.files.metrics_json import (
    SCHEMA_VERSION,
    as_json,
    make_room,
    read_metrics,
    write_metrics,
)
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import Change
from recording import recorded
from small_predictions import predicted, unlabelled


@pytest.fixture(scope="module")
def evaluated():
    """Sets that have, between them, every record; two members are samples of one seed."""
    members = (MemberId(42), MemberId(42, 3), MemberId(7))

    def drawn(**world):
        return replace(predicted(**world), members=members)

    sets = {"near": drawn(n=60, truth=True), "far": drawn(n=50, seed=1), "bare": unlabelled(drawn(n=20, seed=2))}
    return evaluate_sets(sets, calibration=drawn(n=30, seed=9), draws=20)


@pytest.mark.parametrize("name", ["near", "far", "bare"])
def test_what_is_written_is_read(tmp_path, evaluated, name):
    write_metrics(tmp_path / "x.json", evaluated[name].metrics)

    assert read_metrics(tmp_path / "x.json") == evaluated[name].metrics


def test_what_does_not_apply_is_absent(evaluated):
    near, bare = (as_json(evaluated[name].metrics) for name in ("near", "bare"))

    assert (near["schema_version"], near["role"], bare["role"]) == (SCHEMA_VERSION, "main", "shifted")
    assert near["member_ids"] == [{"seed": 42}, {"seed": 42, "sample": 3}, {"seed": 7}]
    assert {"truth", "examples", "temperature", "conformal", "gain", "other_sets"} <= set(near)
    assert "shift" not in near
    assert not {"ensemble", "draws", "temperature", "gain", "examples", "truth"} & set(bare)
    assert "change" not in bare["shift"]
    assert "noise_floor" not in near["ensemble"]["nll"]


def test_a_number_that_is_not_finite_is_not_written(tmp_path):
    metrics = replace(evaluate(predicted(n=9), draws=0).metrics, uncertainty={"average_entropy": float("nan")})

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics(tmp_path / "x.json", metrics)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(("version", "content"), [(1, {}), (2, {"schema_version": 2})])
def test_a_file_of_an_older_schema_is_refused_with_what_to_do(tmp_path, version, content):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"n": 3, "seeds": [42], **content}))

    refused = (
        rf"schema_version is {version}, and this version reads 3; evaluate the run again \(`ensemble-uq evaluate`\)"
    )
    with pytest.raises(IntegrityError, match=refused):
        read_metrics(path)


def test_a_folder_holds_one_evaluation_and_says_which_it_replaces(tmp_path):
    files = {name: tmp_path / f"{name}.parquet" for name in ("a", "b", "news")}
    for seed, path in enumerate(files.values()):
        write_predictions(path, predicted(n=20 + seed, seed=seed))
    folder = RunFolder(tmp_path / "out")
    evaluate_files(files["a"], shifts={"news": files["news"]}, output=folder.root, draws=10)
    evaluate_files(files["a"], output=folder.root, draws=10)
    assert [path.stem for path in folder.evaluated()] == ["a"]
    folder.report.write_text("of a")
    recorded(folder)

    with pytest.warns(UserWarning, match=r"out: the evaluation of 'a' there is replaced by 'b'"):
        evaluate_files(files["b"], output=folder.root, draws=10)

    left = sorted(path.relative_to(folder.root).as_posix() for path in folder.root.rglob("*.*"))
    assert left == ["manifest.json", "metrics/b.json", "scores/b.csv", "uncertainty/b.csv"]
    assert read_metrics(folder.metrics("b")).n == 21


def test_metrics_that_cannot_be_read_are_left_alone(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics("theirs").parent.mkdir()
    folder.metrics("theirs").write_text("{}")

    change = Change(folder=folder.root, root=tmp_path / "new")
    make_room(folder, ["a"], change)

    assert change.removed == set()


def test_the_folder_of_a_run_is_no_place_for_the_evaluation_of_a_file(tmp_path):
    path = tmp_path / "a.parquet"
    write_predictions(path, predicted(n=20))
    write_predictions(tmp_path / "run" / "predictions" / "validation.parquet", predicted(n=20))

    with pytest.raises(ConfigError, match=r"--output .*run: this is the folder of a run.*; name another folder"):
        evaluate_files(path, output=tmp_path / "run")
    assert not (tmp_path / "run" / "metrics").exists()
