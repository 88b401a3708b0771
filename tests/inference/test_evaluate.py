import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
from small_predictions import predicted, unlabelled

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.inference.evaluate import evaluate, evaluate_file, evaluate_run
from ensemble_uq_llm.inference.predictions import Predictions, write_predictions
from ensemble_uq_llm.run_folder import RunFolder

METRIC_NAMES = ["accuracy", "auc", "average_precision", "nll", "brier", "ece"]


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
    assert list(metrics["ensemble"]) == list(metrics["members_mean"]) == METRIC_NAMES
    for name in METRIC_NAMES:
        low, high = metrics["ensemble"][name]["ci95"]
        assert low <= metrics["ensemble"][name]["value"] <= high
        members = [member[name]["value"] for member in metrics["per_member"]]
        assert metrics["members_mean"][name]["value"] == pytest.approx(np.mean(members))
    assert set(metrics["uncertainty"]) == {
        "average_entropy",
        "average_expected_entropy",
        "average_mutual_information",
        "average_variance",
    }
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
        ids=whole.ids[25:], labels=whole.labels[25:], seeds=whole.seeds, logits_MNC=whole.logits_MNC[:, 25:]
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

    assert list(truth) == ["mean_absolute_error", "kl", "bayes_accuracy", "accuracy_of_bayes", "bayes_decisions"]
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


def test_a_set_evaluated_alone_gets_the_same_numbers(folder):
    together = evaluate_run(folder, draws=20)
    alone = evaluate_run(folder, names=["strange"], draws=20)

    assert list(alone) == ["strange"]
    assert alone["strange"].metrics == together["strange"].metrics


def test_a_run_without_validation_has_no_shift(folder):
    folder.predictions("validation").unlink()

    assert all("shift" not in evaluation.metrics for evaluation in evaluate_run(folder, draws=0).values())


def test_a_lone_file_is_evaluated_as_in_its_run(folder):
    alone = evaluate_file(folder.predictions("validation"), draws=20)

    assert alone.metrics == evaluate_run(folder, draws=20)["validation"].metrics


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


def test_unknown_labels_are_empty_cells(folder):
    evaluate_run(folder, names=["stream"], draws=0)

    assert folder.uncertainty("stream").read_text().splitlines()[1].startswith("q0,,")


def test_what_was_not_predicted_cannot_be_evaluated(folder, tmp_path):
    with pytest.raises(DataError, match=r"test\.parquet: .* has predicted validation, strange, stream, so predict"):
        evaluate_run(folder, names=["test"])
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
        "from ensemble_uq_llm.inference import evaluate, report, table\n"
        "from ensemble_uq_llm.run_folder import RunFolder\n"
        f"report.write_report(RunFolder(Path({str(folder.root)!r})))\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
