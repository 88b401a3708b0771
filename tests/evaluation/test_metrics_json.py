import json
from dataclasses import replace

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.evaluation.metrics_json import as_json, read_metrics, write_metrics
from ensemble_uq_llm.member import MemberId
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

    assert (near["schema_version"], near["role"], bare["role"]) == (2, "main", "shifted")
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


def test_a_file_of_the_first_schema_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"n": 3, "seeds": [42]}))

    with pytest.raises(IntegrityError, match=r"schema_version is 1, and this version reads 2; evaluate the run again"):
        read_metrics(path)
