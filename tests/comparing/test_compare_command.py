import json
import shutil

import pytest

from ensemble_uq_llm.predictions.parquet import write_predictions
from small_compared import runs


@pytest.fixture
def paths(tmp_path):
    found = []
    for run in runs(0.5, 0.6, 5.0, n=80):
        found.append(tmp_path / f"{run.name.replace(' ', '_')}.parquet")
        write_predictions(found[-1], run.predictions)
    return found


def test_several_runs_are_one_table(call, paths):
    code, out, err = call("compare", *paths, "--draws", 200)
    assert (code, err) == (0, "")
    assert "Difference from run_0.parquet" in out
    assert "Won" not in out, "the long table of two runs"
    told = json.loads(call("compare", *paths, "--draws", 200, "--json")[1])
    assert set(told) == {"a", "against", "table"}
    table = told["table"]
    assert [run["facts"]["path"] for run in table["runs"]] == [str(path) for path in paths]
    assert (table["n"], table["temperature"]) == (80, "cross-fitted")
    nll = [pair["metrics"]["nll"]["difference"]["value"] for pair in told["against"]]
    assert [run["differences"]["nll"]["value"] for run in table["runs"][1:]] == pytest.approx(nll)
    assert table["runs"][2]["differences"]["nll"]["is_better"] is False
    assert table["runs"][1]["protocol"]["members"] == 3


def test_two_runs_are_shown_in_full_too(call, paths):
    out = call("compare", *paths[:2], "--draws", 100)[1]
    assert "Difference from run_0.parquet" in out
    assert "Won" in out
    told = json.loads(call("compare", *paths[:2], "--draws", 100, "--json")[1])
    assert {"a", "b", "metrics", "verdict", "table"} <= set(told)


def test_another_baseline(call, paths):
    out = call("compare", *paths, "--draws", 100, "--baseline", "run_2.parquet")[1]
    assert "Difference from run_2.parquet" in out
    code, _, err = call("compare", *paths, "--baseline", "run_7.parquet")
    assert (code, err.startswith("error: --baseline 'run_7.parquet': it is not among the runs; did you mean")) == (
        2,
        True,
    )


def test_more_than_twenty_are_refused(call, paths):
    assert call("compare", *paths * 7, "--draws", 100)[::2] == (2, "error: compare: 21 runs given; name 2 to 20\n")


def test_tables_are_to_paste(call, paths):
    markdown = call("compare", *paths, "--draws", 100, "--format", "markdown")[1]
    assert markdown.count("| Run |") == 4
    assert markdown.count("| Metric | A | B |") == 2
    assert call("compare", *paths, "--draws", 100, "--format", "csv")[1].startswith("a,b,metric,")


def test_runs_of_a_run_folder_and_a_copy(call, own_run, tmp_path):
    shutil.copytree(own_run, tmp_path / "copy")
    code, out, _ = call("compare", own_run, tmp_path / "copy", "--draws", 100)
    assert code == 0
    words = " ".join(out.split())
    assert "own training 2 — 2" in words
    assert "copy is not told apart from own." in words
