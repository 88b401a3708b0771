import csv
import io
import json

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.files.metrics_json import read_metrics
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.significance import holm
from recording import recorded


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


def test_files_with_shifts_and_a_calibration_file(call, files):
    code, out, _ = call(
        "evaluate", files / "mine.parquet", "--shift", f"far={files / 'far.parquet'}",
        "--calibration", files / "held_out.parquet", "--output", files / "out", "--draws", 100,
    )  # fmt: skip

    assert code == 0
    assert "mine  60 examples, 3 members" in out
    assert "Which score to abstain by? Use" in " ".join(out.split())
    assert out.splitlines()[-2:] == [
        f"report: {files / 'out' / 'report.html'}",
        f"next: ensemble-uq report {files / 'out'} --format markdown",
    ]
    assert (files / "out" / "report.html").exists()
    metrics = json.loads((files / "out" / "metrics" / "far.json").read_text())
    assert metrics["shift"]["reference"] == "mine"
    assert metrics["conformal"]["calibration"]["n"] == 60


def test_without_an_output_nothing_is_written(call, files):
    before = sorted(files.iterdir())
    code, out, _ = call("evaluate", files / "mine.parquet", "--draws", 100)

    assert code == 0
    assert "report" not in out
    assert out.splitlines()[-1] == f"next: ensemble-uq evaluate {files / 'mine.parquet'} --output results"
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--shift", "far.parquet"],
            "--shift 'far.parquet': give a name and a file, such as --shift news=news.parquet",
        ),
        (["--shift", "a=x", "--shift", "a=y"], "--shift 'a=y': 'a' is the name of x already; use another"),
        (["--format", "latx"], "--format 'latx': must be markdown, latex, csv, table, json; did you mean 'latex'?"),
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
    assert (
        err
        == f"error: {tmp_path}: nothing has been evaluated here; name a run folder, or the --output of an evaluation\n"
    )

    (tmp_path / "config.yaml").write_text("seeds: [1]\n")
    code, _, err = call("report", tmp_path)
    assert (code, err.partition("; ")[2]) == (
        3,
        f"train, predict and evaluate it first: ensemble-uq run {tmp_path}\n",
    )


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
    assert err == f"error: {own_run}: no set 'absent' has been predicted; there are 'validation'\n"


def test_several_runs_are_compared_with_the_first_and_adjusted_together(call, files):
    for name, noise in (("near", 0.5), ("noisy", 5.0)):
        write_predictions(files / f"{name}.parquet", predictions(noise=noise))
    paths = [files / f"{name}.parquet" for name in ("mine", "near", "noisy")]
    together = json.loads(call("compare", *paths, "--draws", 200, "--json")[1])
    alone = [json.loads(call("compare", paths[0], each, "--draws", 200, "--json")[1]) for each in paths[1:]]
    pairs = together["against"]

    assert (together["a"], [each["b"] for each in pairs]) == (str(paths[0]), [str(path) for path in paths[1:]])
    p_values = [m["difference"]["p_value"] for pair in alone for m in pair["metrics"].values()]
    adjusted = [m["difference"]["p_holm"] for pair in pairs for m in pair["metrics"].values()]
    assert p_values == [m["difference"]["p_value"] for pair in pairs for m in pair["metrics"].values()]
    known = [p for p in p_values if p is not None]
    assert [p for p in adjusted if p is not None] == pytest.approx(holm(known))
    assert {pair["comparisons"] for pair in pairs} == {len(known)}
    rows = list(csv.DictReader(io.StringIO(call("compare", *paths, "--draws", 200, "--format", "csv")[1])))
    assert [float(row["p_holm"]) for row in rows if row["p_holm"]] == [p for p in adjusted if p is not None]
    assert {row["b"] for row in rows} == {str(path) for path in paths[1:]}
    markdown = call("compare", *paths, "--draws", 200, "--format", "markdown")[1]
    assert markdown.count("| Metric | A | B |") == 2
    assert call("compare", paths[0])[::2] == (
        2, f"error: compare: only {paths[0]} is given; name the runs to compare with it, too\n"
    )  # fmt: skip


def test_the_form_of_the_output_is_one(call, files):
    by_option, by_flag = (
        call("evaluate", files / "mine.parquet", "--draws", 100, *words)[1]
        for words in (["--format", "json"], ["--json"])
    )
    assert json.loads(by_option) == json.loads(by_flag)
    code, _, err = call("evaluate", files / "mine.parquet", "--json", "--format", "csv")
    assert (code, err) == (2, "error: --format csv: --json asks for another form; leave one of them out\n")


def test_what_is_not_there_is_said_with_what_is(call, files, own_run):
    code, out, err = call("report", files / "nope")
    assert (code, out) == (3, "")
    assert err.startswith(f"error: {files / 'nope'}: there is no such file or folder; name a run folder")
    assert "did you mean 'mine.parquet'?" in call("evaluate", files / "mine.parqet")[2]
    code, _, err = call("evaluate", files)
    assert code == 2
    assert "not a run; name one of the files in it: 'far.parquet', 'held_out.parquet', 'mine.parquet'" in err
    assert "the folder is no run; name a run folder or a file of predictions" in call("compare", own_run, files)[2]
    (own_run / "metrics" / "validation.json").unlink()
    assert call("report", own_run)[0] == 5
    recorded(own_run)
    assert f"evaluate it first: ensemble-uq evaluate {own_run}\n" in call("report", own_run)[2]
    (own_run / "predictions" / "validation.parquet").unlink()
    recorded(own_run)
    assert f"predict it first: ensemble-uq predict {own_run}\n" in call("compare", own_run, own_run)[2]


def test_the_run_of_the_configuration_that_lies_here_is_evaluated(call, own_run, monkeypatch):
    monkeypatch.chdir(own_run)
    code, out, err = call("evaluate", "--draws", 100, "--format", "csv")
    assert (code, err) == (0, "configuration: ./config.yaml\n")
    assert out.startswith("set,metric")
    monkeypatch.chdir(own_run / "metrics")
    assert "there is no ./config.yaml here" in call("evaluate")[2]
