import csv
import io
import json

import numpy as np
import pytest

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.evaluation.metrics_json import read_metrics
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions


def predictions(n=60, *, members=3, seed=0, noise=1.0, first=0):
    rng = np.random.default_rng(seed)
    logits_NC = 2.0 * rng.normal(size=(n, 2))
    labels_N = (logits_NC + rng.gumbel(size=(n, 2))).argmax(axis=1)
    noisy_MNC = logits_NC + noise * rng.normal(size=(members, n, 2))
    return Predictions(
        ids=tuple(f"q{i}" for i in range(first, first + n)),
        labels=tuple(labels_N.tolist()),
        members=trained(range(members)),
        logits_MNC=noisy_MNC.astype(np.float32),
    )


@pytest.fixture
def files(tmp_path):
    write_predictions(tmp_path / "mine.parquet", predictions())
    write_predictions(tmp_path / "far.parquet", predictions(seed=1, noise=4.0))
    write_predictions(tmp_path / "held_out.parquet", predictions(seed=2, first=1000))
    return tmp_path


@pytest.fixture
def call(capsys):
    def run(*words):
        capsys.readouterr()
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return run


def test_files_with_shifts_and_a_calibration_file(call, files):
    code, out, _ = call(
        "evaluate", files / "mine.parquet", "--shift", f"far={files / 'far.parquet'}",
        "--calibration", files / "held_out.parquet", "--output", files / "out", "--draws", 100,
    )  # fmt: skip

    assert code == 0
    assert "mine  60 examples, 3 members" in out
    assert "Which score to abstain by? Use" in " ".join(out.split())
    assert out.rstrip().endswith(f"report: {files / 'out' / 'report.html'}")
    assert (files / "out" / "report.html").exists()
    metrics = json.loads((files / "out" / "metrics" / "far.json").read_text())
    assert metrics["shift"]["reference"] == "mine"
    assert metrics["conformal"]["calibration"]["n"] == 60


def test_without_an_output_nothing_is_written(call, files):
    before = sorted(files.iterdir())
    code, out, _ = call("evaluate", files / "mine.parquet", "--draws", 100)

    assert code == 0
    assert "report" not in out
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shift", "far.parquet"], "--shift far.parquet: give a name and a file, such as --shift news=news.parquet"),
        (["--shift", "a=x", "--shift", "a=y"], "--shift a=y: 'a' is the name of x already; use another"),
        (["--format", "latx"], "--format latx: must be markdown, latex, csv; did you mean 'latex'?"),
        (["--shift", "a/b=x.parquet", "--output", "out"], "'a/b' cannot name a set"),
    ],
)
def test_bad_options_are_named_before_anything_is_read(call, words, message):
    code, out, err = call("evaluate", "absent.parquet", *words)

    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")


def test_a_run_has_its_own_place_for_results(call, own_run):
    code, _, err = call("evaluate", own_run, "--output", "elsewhere")

    assert code == 2
    assert "a run's metrics and report lie in its own folder" in err


@pytest.mark.filterwarnings("default:far. predictions that do not tell:UserWarning")
def test_a_run_takes_further_shifts(call, own_run, files):
    far = predict_by_members(own_run, files)
    code, out, told = call("evaluate", own_run, "--shift", f"far={far}", "--draws", 100)

    assert code == 0
    assert "far: predictions that do not tell the digests of their members" in told
    assert "far" in out
    assert json.loads((own_run / "metrics" / "far.json").read_text())["role"] == "shifted"


def predict_by_members(run, folder):
    """A file of predictions by the members of a run."""
    ids = read_metrics(run / "metrics" / "validation.json").member_ids
    other = predictions(members=len(ids), seed=4)
    path = folder / "by_members.parquet"
    write_predictions(path, Predictions(ids=other.ids, labels=other.labels, members=ids, logits_MNC=other.logits_MNC))
    return path


def test_tables_to_paste(call, files):
    metrics = json.loads(call("evaluate", files / "mine.parquet", "--draws", 100, "--json")[1])["mine"]
    markdown = call("evaluate", files / "mine.parquet", "--draws", 100, "--format", "markdown")[1]
    latex = call("evaluate", files / "mine.parquet", "--draws", 100, "--format", "latex")[1]
    rows = list(
        csv.DictReader(io.StringIO(call("evaluate", files / "mine.parquet", "--draws", 100, "--format", "csv")[1]))
    )

    assert [line.split("|")[1].strip(" ↑↓") for line in markdown.splitlines() if line.startswith("| ")][2:] == [
        metric.title for metric in HEADLINE
    ]
    assert latex.count(r"\\") == len(HEADLINE) + 1
    assert r"\toprule" in latex
    shown = {row["metric"]: float(row["ensemble"]) for row in rows if row["ensemble"]}
    assert set(shown) <= {metric.name for metric in METRICS}
    assert shown["nll"] == metrics["ensemble"]["nll"]["value"]


def test_the_report_is_written_again_from_the_metrics_alone(call, own_run):
    (own_run / "report.html").unlink()
    for path in (own_run / "predictions").glob("*.parquet"):
        path.unlink()
    code, out, _ = call("report", own_run)

    assert (code, out) == (0, f"report: {own_run / 'report.html'}\n")
    assert (own_run / "report.html").exists()
    assert call("report", own_run, "--format", "markdown")[1].startswith("**validation**")


def test_there_is_no_report_without_an_evaluation(call, tmp_path):
    code, _, err = call("report", tmp_path)

    assert code == 3
    assert "no set has been evaluated; predict one and evaluate the run first" in err


def test_two_files_are_compared(call, files):
    write_predictions(files / "other.parquet", predictions(noise=3.0))
    result = json.loads(call("compare", files / "mine.parquet", files / "other.parquet", "--draws", 200, "--json")[1])
    code, out, _ = call("compare", files / "mine.parquet", files / "other.parquet", "--draws", 200)

    assert code == 0
    assert result["same_test_set"] is True
    difference = result["metrics"]["nll"]["B"]["value"] - result["metrics"]["nll"]["A"]["value"]
    assert result["metrics"]["nll"]["difference"]["value"] == pytest.approx(difference)
    assert f"A: {files / 'mine.parquet'}" in out
    assert result["verdict"] in " ".join(out.split())


def test_runs_are_compared_on_a_set_and_other_test_sets_are_warned_of(call, own_run, files):
    assert json.loads(call("compare", own_run, own_run, "--draws", 100, "--json")[1])["same_predictions"] is True
    write_predictions(files / "later.parquet", predictions(n=60, first=30))
    code, out, _ = call("compare", files / "mine.parquet", files / "later.parquet", "--draws", 100)
    assert code == 0
    assert "Warning: " in out
    code, _, err = call("compare", own_run, own_run, "--name", "absent")
    assert code == 3
    assert "absent.parquet: there is no such file" in err
