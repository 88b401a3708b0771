import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_files, evaluate_run, evaluate_sets
from ensemble_uq_llm.evaluation.predictions.parquet import write_predictions
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.run_folder import RunFolder
from small_predictions import predicted, unlabelled

CONTRACT = ["accuracy", "auc", "average_precision", "nll", "brier", "ece"]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    write_predictions(folder.predictions("validation"), predicted(n=80, truth=True))
    write_predictions(folder.predictions("strange"), predicted(n=50, seed=1, noise=4.0))
    write_predictions(folder.predictions("stream"), unlabelled(predicted(n=30, seed=2)))
    return folder


def as_json(metrics):
    """Fails on anything that is no plain JSON value, NaN and NumPy numbers among it."""
    return json.loads(json.dumps(metrics, allow_nan=False))


def test_the_metrics_have_the_form_of_the_contract():
    metrics = evaluate(predicted(n=100), draws=50).metrics

    assert as_json(metrics) == metrics
    assert (metrics["n"], metrics["labelled"], metrics["members"], metrics["seeds"]) == (100, 100, 3, [42, 43, 44])
    assert list(metrics["ensemble"]) == [metric.name for metric in METRICS]
    assert list(metrics["members_mean"]) == [metric.name for metric in HEADLINE] == CONTRACT
    for name in CONTRACT:
        low, high = metrics["ensemble"][name]["ci95"]
        assert low <= metrics["ensemble"][name]["value"] <= high
        members = [member[name]["value"] for member in metrics["per_member"]]
        assert metrics["members_mean"][name]["value"] == pytest.approx(np.mean(members))
    averages = {f"average_{score.name}" for score in SCORES}
    assert averages >= {
        "average_entropy",
        "average_expected_entropy",
        "average_mutual_information",
        "average_variance",
    }
    assert set(metrics["uncertainty"]) == averages | {"mean_confidence"}
    assert "truth" not in metrics
    assert "shift" not in metrics


def test_the_ensemble_is_the_mean_probability_and_members_are_scored_alone():
    predictions = predicted(n=100)
    metrics = evaluate(predictions, draws=0).metrics

    exponentials_MNC = np.exp(predictions.logits_MNC.astype(np.float64))
    probs_MNC = exponentials_MNC / exponentials_MNC.sum(axis=2, keepdims=True)
    assert metrics["ensemble"]["nll"]["value"] == pytest.approx(
        sklearn.metrics.log_loss(predictions.labels, probs_MNC.mean(axis=0))
    )
    for member, probs_NC in zip(metrics["per_member"], probs_MNC, strict=True):
        assert member["nll"]["value"] == pytest.approx(sklearn.metrics.log_loss(predictions.labels, probs_NC))
    assert [member["seed"] for member in metrics["per_member"]] == [42, 43, 44]


def test_without_labels_metrics_are_absent_not_zero():
    metrics = evaluate(unlabelled(predicted(n=20)), draws=10).metrics

    assert metrics["labelled"] == 0
    assert metrics["ensemble"] == metrics["members_mean"] == {}
    assert metrics["per_member"] == []
    assert metrics["uncertainty"]["average_entropy"] > 0


def test_a_partly_labelled_set_is_scored_on_its_labelled_rows():
    whole = predicted(n=60)
    half = evaluate(unlabelled(whole, first=25), draws=20).metrics
    rest = Predictions(
        ids=whole.ids[25:], labels=whole.labels[25:], members=whole.members, logits_MNC=whole.logits_MNC[:, 25:]
    )

    assert (half["n"], half["labelled"]) == (60, 35)
    assert half["ensemble"] == evaluate(rest, draws=20).metrics["ensemble"]
    assert half["per_member"] == evaluate(rest, draws=20).metrics["per_member"]
    assert half["uncertainty"] == evaluate(whole, draws=0).metrics["uncertainty"]


def test_one_example_of_one_member():
    metrics = evaluate(predicted(n=1, members=1)).metrics

    assert as_json(metrics) == metrics
    assert metrics["ensemble"]["accuracy"]["value"] in {0.0, 1.0}
    assert metrics["ensemble"]["accuracy"]["ci95"] is None
    assert metrics["ensemble"]["auc"] == {"value": None, "ci95": None}
    assert metrics["members_mean"]["auc"] == {"value": None}
    assert metrics["uncertainty"]["average_mutual_information"] == 0.0
    assert metrics["uncertainty"]["average_variance"] == 0.0


def test_more_than_two_classes():
    metrics = evaluate(predicted(n=200, classes=5, truth=True), draws=20).metrics

    assert as_json(metrics) == metrics
    assert 0.2 < metrics["ensemble"]["accuracy"]["value"] < 1
    assert metrics["ensemble"]["accuracy"]["value"] <= 1.3 * metrics["truth"]["bayes_accuracy"]["value"]


def test_known_truth_is_compared_with_intervals():
    truth = evaluate(predicted(n=100, truth=True), draws=50).metrics["truth"]

    first = ["mean_absolute_error", "kl", "bayes_accuracy", "accuracy_of_bayes", "bayes_decisions"]
    aleatoric = ["calibration_error", "aleatoric_correlation", "aleatoric_rank_correlation", "aleatoric_gap"]
    assert list(truth) == first + aleatoric
    assert all(block["ci95"][0] <= block["value"] <= block["ci95"][1] for block in truth.values())


def test_truth_of_unlabelled_examples_leaves_only_the_accuracy_undefined():
    truth = evaluate(unlabelled(predicted(n=20, truth=True)), draws=10).metrics["truth"]

    assert truth["accuracy_of_bayes"] == {"value": None, "ci95": None, "undefined_draws": 10}
    assert truth["kl"]["value"] > 0


def test_the_seed_decides_the_intervals():
    predictions = predicted(n=50)

    assert evaluate(predictions, draws=20, seed=1).metrics == evaluate(predictions, draws=20, seed=1).metrics
    assert evaluate(predictions, draws=20, seed=1).metrics != evaluate(predictions, draws=20, seed=2).metrics


def test_a_run_is_evaluated_to_its_files(folder):
    evaluations = evaluate_run(folder, draws=20)

    assert list(evaluations) == ["validation", "strange", "stream"]
    for name, evaluation in evaluations.items():
        assert json.loads(folder.metrics(name).read_text()) == evaluation.metrics
        assert folder.uncertainty(name).exists()
    assert "shift" not in evaluations["validation"].metrics
    shift = evaluations["strange"].metrics["shift"]
    assert shift["reference"] == "validation"
    assert shift["auroc"]["mutual_information"]["value"] > 0.7
    assert evaluations["stream"].metrics["shift"]["auroc"]["entropy"]["value"] == pytest.approx(0.5, abs=0.2)


def test_a_run_without_validation_has_no_shift(folder):
    folder.predictions("validation").unlink()

    assert all("shift" not in evaluation.metrics for evaluation in evaluate_run(folder, draws=0).values())


def without(metrics, *blocks):
    return {name: block for name, block in metrics.items() if name not in blocks}


def test_files_are_evaluated_as_in_their_run(folder):
    in_run = evaluate_run(folder, draws=20)
    shifts = {name: folder.predictions(name) for name in ("strange", "stream")}
    files = evaluate_files(folder.predictions("validation"), shifts=shifts, draws=20)

    assert {name: each.metrics for name, each in files.items()} == {n: each.metrics for n, each in in_run.items()}


def test_a_set_does_not_depend_on_the_others_but_for_shift_and_axes(folder):
    together = evaluate_run(folder, draws=20)["strange"].metrics
    alone = evaluate_files(folder.predictions("strange"), draws=20)["strange"].metrics

    only_together = ("role", "reference", "shift", "histograms", "other_sets", "examples")
    assert without(alone, *only_together) == without(together, *only_together)


def test_files_leave_their_results_where_they_are_told_to(folder, tmp_path):
    output = RunFolder(tmp_path / "out")
    evaluations = evaluate_files(
        folder.predictions("validation"), shifts={"far": folder.predictions("strange")}, output=output, draws=5
    )

    assert [json.loads(output.metrics(name).read_text())["role"] for name in evaluations] == ["main", "shifted"]
    assert output.uncertainty("far").exists()


def test_names_of_sets_must_differ(folder):
    path = folder.predictions("strange")
    with pytest.raises(DataError, match=r"--shift strange: the main set .* has that name already"):
        evaluate_files(path, shifts={"strange": path})
    with pytest.raises(DataError, match="--shift stream: the run has predicted a set of that name"):
        evaluate_run(folder, shifts={"stream": path})


def test_a_run_uses_its_own_calibration_split_and_does_not_evaluate_it(folder):
    write_predictions(folder.predictions("calibration"), predicted(n=40, seed=9))
    evaluations = evaluate_run(folder, draws=5)

    assert list(evaluations) == ["validation", "strange", "stream"]
    for name in ("validation", "strange"):
        assert evaluations[name].metrics["temperature"]["calibration"] == {"name": "calibration", "n": 40}
        assert evaluations[name].metrics["conformal"]["calibration"] == {"name": "calibration", "n": 40}
    assert "temperature" not in evaluations["stream"].metrics


def test_a_calibration_file_takes_the_place_of_the_split(folder, tmp_path):
    write_predictions(folder.predictions("calibration"), predicted(n=40, seed=9))
    write_predictions(tmp_path / "other.parquet", predicted(n=50, seed=10))
    evaluations = evaluate_run(folder, calibration=tmp_path / "other.parquet", draws=5)

    assert evaluations["validation"].metrics["temperature"]["calibration"]["n"] == 50


def test_nothing_is_calibrated_on_the_rows_that_are_tested():
    predictions = predicted(n=30)

    with pytest.raises(DataError, match="30 of 30 test examples are calibration examples too"):
        evaluate(predictions, calibration=predictions)


def test_sets_of_another_number_of_classes_are_refused():
    with pytest.raises(DataError, match="set 'far' has 3 classes but 'near' has 2; give sets of one task"):
        evaluate_sets({"near": predicted(), "far": predicted(classes=3)})


def test_the_axes_of_histograms_are_common(folder):
    metrics = [evaluation.metrics["histograms"] for evaluation in evaluate_run(folder, draws=0).values()]

    for quantity in ("entropy", "mutual_information"):
        assert len({each[quantity]["upper"] for each in metrics}) == 1


def test_the_table_of_uncertainties_has_the_columns_of_the_contract(folder):
    evaluation = evaluate_run(folder, draws=0)["validation"]
    with folder.uncertainty("validation").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    measures = ["variance", "entropy", "expected_entropy", "mutual_information", "disagreement"]
    assert list(rows[0]) == ["id", "label", "prediction", "confidence", "p_0", "p_1", *measures]
    assert [row["id"] for row in rows] == list(evaluation.predictions.ids)
    assert [int(row["label"]) for row in rows] == list(evaluation.predictions.labels)
    for name in ("confidence", *measures):
        assert [float(row[name]) for row in rows] == getattr(evaluation.uncertainty, f"{name}_N").tolist()
    assert [float(row["p_1"]) for row in rows] == evaluation.uncertainty.probs_NC[:, 1].tolist()


def test_the_table_of_scores_has_every_score(folder):
    evaluation = evaluate_run(folder, draws=0)["stream"]
    with folder.scores("stream").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    assert list(rows[0]) == ["id", *(score.name for score in SCORES)]
    assert [row["id"] for row in rows] == list(evaluation.predictions.ids)
    for score in SCORES:
        assert [float(row[score.name]) for row in rows] == score.of(evaluation.uncertainty).tolist()


def test_unknown_labels_are_empty_cells(folder):
    evaluate_run(folder, draws=0)

    assert folder.uncertainty("stream").read_text().splitlines()[1].startswith("q0,,")


def test_a_run_without_predictions_cannot_be_evaluated(tmp_path):
    with pytest.raises(DataError, match="there are no predictions; train and predict first"):
        evaluate_run(RunFolder(tmp_path / "empty"))


def test_a_broken_set_leaves_no_files(folder):
    folder.predictions("stream").write_text("torn")

    with pytest.raises(DataError, match=r"stream\.parquet: this is not a readable Parquet file"):
        evaluate_run(folder, draws=0)
    assert not folder.metrics("validation").exists()


def test_nothing_after_the_predictions_imports_torch(folder):
    program = (
        "import sys; from pathlib import Path\n"
        "from ensemble_uq_llm.evaluation import comparison, evaluate\n"
        "from ensemble_uq_llm.report import terminal as table\n"
        "from ensemble_uq_llm.report.page import write_report\n"
        "from ensemble_uq_llm.run_folder import RunFolder\n"
        f"folder = RunFolder(Path({str(folder.root)!r}))\n"
        "evaluate.evaluate_run(folder, draws=5)\n"
        "write_report(folder)\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
