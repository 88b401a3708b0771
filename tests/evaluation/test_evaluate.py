import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files, evaluate_run
from ensemble_uq_llm.evaluation.files.metrics_json import as_json, read_metrics
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS
from ensemble_uq_llm.evaluation.records import CalibrationSet, MetricEstimate
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.selection import of_labelled
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.report.words.findings_in_words import classes_in_words
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.statistics.intervals import Estimate
from small_predictions import predicted, unlabelled

CONTRACT = ["accuracy", "auc", "average_precision", "nll", "brier", "ece"]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    write_predictions(folder.predictions("validation"), predicted(n=80, truth=True))
    write_predictions(folder.predictions("strange"), predicted(n=50, seed=1, noise=4.0))
    write_predictions(folder.predictions("stream"), unlabelled(predicted(n=30, seed=2)))
    return folder


def test_the_metrics_have_the_form_of_the_contract():
    metrics = evaluate(predicted(n=100), draws=50).metrics

    assert (metrics.n, metrics.labelled, metrics.members) == (100, 100, 3)
    assert metrics.member_ids == trained((42, 43, 44))
    assert list(metrics.ensemble) == [metric.name for metric in METRICS]
    assert list(metrics.members_mean) == [metric.name for metric in HEADLINE] == CONTRACT
    for name in CONTRACT:
        low, high = metrics.ensemble[name].ci95
        assert low <= metrics.ensemble[name].value <= high
        members = [member.metrics[name].value for member in metrics.per_member]
        assert metrics.members_mean[name].value == pytest.approx(np.mean(members))
    averages = {f"average_{score.name}" for score in SCORES}
    assert averages >= {
        "average_entropy",
        "average_expected_entropy",
        "average_mutual_information",
        "average_variance",
    }
    assert set(metrics.uncertainty) == averages | {"mean_confidence"}
    assert (metrics.truth, metrics.shift) == ({}, None)


def test_the_ensemble_is_the_mean_probability_and_members_are_scored_alone():
    predictions = predicted(n=100)
    metrics = evaluate(predictions, draws=0).metrics

    exponentials_MNC = np.exp(predictions.logits_MNC.astype(np.float64))
    probs_MNC = exponentials_MNC / exponentials_MNC.sum(axis=2, keepdims=True)
    expected = sklearn.metrics.log_loss(predictions.labels, probs_MNC.mean(axis=0))
    assert metrics.ensemble["nll"].value == pytest.approx(expected)
    for each, probs_NC in zip(metrics.per_member, probs_MNC, strict=True):
        assert each.metrics["nll"].value == pytest.approx(sklearn.metrics.log_loss(predictions.labels, probs_NC))
    assert tuple(each.member for each in metrics.per_member) == predictions.members


def test_samples_of_one_seed_are_members_everywhere():
    members = (MemberId(42), MemberId(42, 1), MemberId(7))
    near, far, held_out = (replace(predicted(n=40, seed=seed), members=members) for seed in (0, 1, 9))
    order = [2, 0, 1]
    held_out = replace(held_out, members=tuple(members[m] for m in order), logits_MNC=held_out.logits_MNC[order])
    metrics = evaluate_sets({"near": near, "far": far}, calibration=held_out, draws=10)["near"].metrics

    assert metrics.member_ids == tuple(each.member for each in metrics.per_member) == members
    assert tuple(each.member for each in metrics.temperature.per_member.temperatures) == members
    assert {vote.member for each in metrics.examples.most_uncertain for vote in each.votes} == set(members)
    assert {gain.best_member for gain in metrics.gain.values()} <= set(members)
    as_seeds = evaluate_sets(
        {name: replace(each, members=trained((1, 2, 3))) for name, each in {"near": near, "far": far}.items()},
        calibration=replace(held_out, members=trained((3, 1, 2))),
        draws=10,
    )["near"].metrics
    assert metrics.ensemble == as_seeds.ensemble
    assert metrics.temperature.pooled == as_seeds.temperature.pooled
    assert metrics.conformal == as_seeds.conformal


def test_without_labels_metrics_are_absent_not_zero():
    metrics = evaluate(unlabelled(predicted(n=20)), draws=10).metrics

    assert metrics.labelled == 0
    assert metrics.ensemble == metrics.members_mean == {}
    assert metrics.per_member == ()
    assert metrics.uncertainty["average_entropy"] > 0


def test_a_partly_labelled_set_is_scored_on_its_labelled_rows():
    whole, calibration = predicted(n=60), predicted(n=40, seed=9)
    half = evaluate(unlabelled(whole, first=25), calibration=calibration, draws=20).metrics
    rest = evaluate(of_labelled(unlabelled(whole, first=25)), calibration=calibration, draws=20).metrics

    assert (half.n, half.labelled) == (60, 35)
    for part in ("ensemble", "per_member", "temperature", "conformal"):
        assert getattr(half, part) == getattr(rest, part)
    assert half.uncertainty == evaluate(whole, draws=0).metrics.uncertainty


def test_one_example_of_one_member():
    metrics = evaluate(predicted(n=1, members=1)).metrics

    assert metrics.ensemble["accuracy"].value in {0.0, 1.0}
    assert metrics.ensemble["accuracy"].ci95 is None
    assert metrics.ensemble["auc"] == MetricEstimate(value=None, ci95=None)
    assert metrics.members_mean["auc"].value is None
    assert metrics.uncertainty["average_mutual_information"] == 0.0
    assert metrics.uncertainty["average_variance"] == 0.0


def test_more_than_two_classes():
    metrics = evaluate(predicted(n=200, classes=5, truth=True), draws=20).metrics

    assert 0.2 < metrics.ensemble["accuracy"].value < 1
    assert metrics.ensemble["accuracy"].value <= 1.3 * metrics.truth["bayes_accuracy"].value


def test_known_truth_is_compared_with_intervals():
    truth = evaluate(predicted(n=100, truth=True), draws=50).metrics.truth

    first = ["mean_absolute_error", "kl", "bayes_accuracy", "accuracy_of_bayes", "bayes_decisions"]
    aleatoric = ["calibration_error", "aleatoric_correlation", "aleatoric_rank_correlation", "aleatoric_gap"]
    assert list(truth) == first + aleatoric
    assert all(each.ci95[0] <= each.value <= each.ci95[1] for each in truth.values())


def test_truth_of_unlabelled_examples_leaves_only_the_accuracy_undefined():
    truth = evaluate(unlabelled(predicted(n=20, truth=True)), draws=10).metrics.truth

    assert truth["accuracy_of_bayes"] == Estimate(value=None, ci95=None, undefined_draws=10)
    assert truth["kl"].value > 0


def test_arrays_are_evaluated_like_predictions():
    predictions = predicted(n=40, classes=3)
    probs_MNC = np.exp(predictions.logits_MNC.astype(np.float64))
    probs_MNC /= probs_MNC.sum(axis=2, keepdims=True)
    expected = evaluate(replace(predictions, members=trained((0, 1, 2))), draws=10).metrics

    by_logits = evaluate(logits=predictions.logits_MNC, labels=predictions.labels, ids=predictions.ids, draws=10)
    assert by_logits.metrics == expected
    by_probs = evaluate(probs=probs_MNC.tolist(), labels=list(predictions.labels), draws=10)
    assert by_probs.metrics.ensemble["nll"].value == pytest.approx(expected.ensemble["nll"].value, rel=1e-6)
    assert by_probs.predictions.ids == tuple(str(n) for n in range(40))


def test_arrays_of_one_member():
    p_yes_N, labels_N = np.array([0.9, 0.2, 0.6]), np.array([1, 0, -1])
    evaluation = evaluate(probs=p_yes_N, labels=labels_N, draws=0)

    assert evaluation.uncertainty.probs_NC[:, 1] == pytest.approx(p_yes_N)
    assert evaluation.metrics.labelled == 2
    both = evaluate(probs=np.stack([1 - p_yes_N, p_yes_N], axis=1), labels=labels_N, draws=0)
    assert both.metrics.ensemble["nll"].value == pytest.approx(evaluation.metrics.ensemble["nll"].value)
    assert evaluate(probs=p_yes_N, draws=0).metrics.labelled == 0


PROBS_N = np.array([0.9, 0.2, 0.6])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConfigError, r"evaluate takes predictions, probs=\.\.\. or logits=\.\.\., and got none of them"),
        ({"labels": [1, 0, 1]}, ConfigError, "and got none of them"),
        ({"probs": PROBS_N, "logits": PROBS_N}, ConfigError, "and got both probs and logits; give one"),
        ({"predictions": predicted(3), "labels": [1]}, ConfigError, r"got predictions and labels=\.\.\. too"),
        ({"probs": PROBS_N, "labels": [1, 0]}, DataError, r"^array 'labels' has shape \(2,\); with 1 members, 3 exam"),
        ({"probs": 2 * PROBS_N}, DataError, r"^probs\[0\]: class 1 is 1\.8"),
        ({"probs": PROBS_N, "labels": [1, 0, 7]}, DataError, "^example '2' has label 7; with 2 classes"),
        ({"probs": PROBS_N, "labels": ["a", "b", "c"]}, DataError, "^array 'labels' holds text, such as 'a'"),
        ({"probs": PROBS_N, "ids": ["a", "b", "a"]}, DataError, "^id 'a' is there twice"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        evaluate(**arguments, draws=0)


def test_a_probability_of_0_is_warned_of_without_a_file():
    with pytest.warns(UserWarning, match="^1 of 4 probabilities are exactly 0"):
        evaluate(probs=[1.0, 0.5], draws=0)


def test_an_evaluation_is_shown_in_a_line():
    accuracy = evaluate(predicted(n=50), draws=20).metrics.ensemble["accuracy"]
    low, high = accuracy.ci95

    shown = f"Evaluation('validation', n=50, members=3, accuracy={accuracy.value:.1%} ({low:.1%} to {high:.1%}))"
    assert repr(evaluate(predicted(n=50), draws=20)) == shown
    assert repr(evaluate(unlabelled(predicted(n=50)), draws=0)) == "Evaluation('validation', n=50, members=3)"
    assert repr(evaluate(predicted(n=50), draws=0)).endswith(f"accuracy={accuracy.value:.1%})")


def test_the_seed_decides_the_intervals():
    predictions = predicted(n=50)

    assert evaluate(predictions, draws=20, seed=1).metrics == evaluate(predictions, draws=20, seed=1).metrics
    assert evaluate(predictions, draws=20, seed=1).metrics != evaluate(predictions, draws=20, seed=2).metrics


def test_a_run_is_evaluated_to_its_files(folder):
    evaluations = evaluate_run(folder, draws=20)

    assert list(evaluations) == ["validation", "strange", "stream"]
    for name, evaluation in evaluations.items():
        assert read_metrics(folder.metrics(name)) == evaluation.metrics
        assert folder.uncertainty(name).exists()
    assert evaluations["validation"].metrics.shift is None
    shift = evaluations["strange"].metrics.shift
    assert shift.reference == "validation"
    assert shift.numbers["auroc"]["mutual_information"].value > 0.7
    assert evaluations["stream"].metrics.shift.numbers["auroc"]["entropy"].value == pytest.approx(0.5, abs=0.2)
    assert not folder.decision.exists()


def test_a_run_without_validation_has_no_shift(folder):
    folder.predictions("validation").unlink()

    assert all(evaluation.metrics.shift is None for evaluation in evaluate_run(folder, draws=0).values())


def test_files_are_evaluated_as_in_their_run(folder):
    in_run = evaluate_run(folder, draws=20)
    shifts = {name: folder.predictions(name) for name in ("strange", "stream")}
    files = evaluate_files(folder.predictions("validation"), shifts=shifts, draws=20)
    declared = evaluate_run(folder, declared=["strange", "stream", "of_the_data_set_but_not_predicted"], draws=20)

    def metrics_of(evaluations, **changed):
        return {name: replace(each.metrics, **changed) for name, each in evaluations.items()}

    assert metrics_of(files) == metrics_of(declared)
    assert metrics_of(files, role="any") == metrics_of(in_run, role="any")


def test_only_what_is_declared_is_called_shifted(folder):
    evaluations = evaluate_run(folder, declared=["strange"], shifts={"far": folder.predictions("strange")}, draws=20)

    roles = {name: each.metrics.role for name, each in evaluations.items()}
    assert roles == {"validation": "main", "strange": "shifted", "stream": "other", "far": "shifted"}
    assert all(each.metrics.shift for name, each in evaluations.items() if name != "validation")


def test_a_shifted_set_of_one_row_is_evaluated(folder):
    write_predictions(folder.predictions("one"), predicted(n=1))

    assert evaluate_run(folder, draws=20)["one"].metrics.shift.detection.seen == "too_few"


def test_a_set_does_not_depend_on_the_others_but_for_shift_and_axes(folder):
    together = evaluate_run(folder, draws=20)["strange"].metrics
    alone = evaluate_files(folder.predictions("strange"), draws=20)["strange"].metrics

    only_together = ("role", "reference", "shift", "histograms", "other_sets", "examples", "scatter")
    assert replace(alone, **{name: getattr(together, name) for name in only_together}) == together


def test_no_digit_depends_on_the_order_of_a_files_rows_and_members(tmp_path):
    rng = np.random.default_rng(0)
    probs_MNC = rng.multinomial(10, [0.3, 0.7], (3, 60)) / 10  # confidences on a grid of .1, so that many tie
    arrays = {"labels": rng.integers(0, 2, 60), "ids": np.arange(60), "seeds": np.array([1, 2, 3])}
    np.savez(tmp_path / "mine.npz", probs=np.maximum(probs_MNC, 1e-9), **arrays)
    (tmp_path / "back").mkdir()
    turned = {name: array[::-1] for name, array in arrays.items()}
    np.savez(tmp_path / "back" / "mine.npz", probs=np.maximum(probs_MNC, 1e-9)[::-1, ::-1], **turned)
    folders = (tmp_path, tmp_path / "back")
    ours, theirs = (evaluate_files(each / "mine.npz", draws=50)["mine"].metrics for each in folders)

    assert as_json(ours) == as_json(theirs)


def test_the_names_of_classes_that_files_are_read_with_stand_in_metrics_and_report(folder, tmp_path):
    file = folder.predictions("validation")
    evaluate_files(file, classes=("wrong", "right"), output=tmp_path / "out", draws=20)
    source = read_source(RunFolder(tmp_path / "out"))

    assert source.class_labels == source.main.class_names == ("wrong", "right")
    assert "'right'" in classes_in_words(source.main)[0]


def test_files_leave_their_results_where_they_are_told_to(folder, tmp_path):
    output = RunFolder(tmp_path / "out")
    evaluations = evaluate_files(
        folder.predictions("validation"), shifts={"far": folder.predictions("strange")}, output=output, draws=5
    )

    assert [read_metrics(output.metrics(name)).role for name in evaluations] == ["main", "shifted"]
    assert output.uncertainty("far").exists()


def test_names_of_sets_must_differ(folder):
    path = folder.predictions("strange")
    with pytest.raises(DataError, match=r"--shift strange: the main set .* has that name already"):
        evaluate_files(path, shifts={"strange": path})
    with pytest.raises(DataError, match="--shift stream: the run has predicted a set of that name"):
        evaluate_run(folder, shifts={"stream": path})


def test_a_name_that_no_set_can_have_leaves_the_run_as_it_is(folder):
    evaluate_run(folder, draws=0)
    before = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}

    with pytest.raises(ConfigError, match="'a/b' cannot name a set"):
        evaluate_run(folder, shifts={"a/b": folder.predictions("strange")}, draws=0)
    assert {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()} == before


def test_a_run_uses_its_own_calibration_split_and_does_not_evaluate_it(folder):
    write_predictions(folder.predictions("calibration"), predicted(n=40, seed=9))
    evaluations = evaluate_run(folder, draws=5)

    assert list(evaluations) == ["validation", "strange", "stream"]
    for name in ("validation", "strange"):
        metrics = evaluations[name].metrics
        assert metrics.temperature.calibration == CalibrationSet(name="calibration", n=40)
        assert metrics.conformal.calibration == metrics.temperature.calibration
    assert evaluations["stream"].metrics.temperature is None


def test_the_metrics_are_those_of_the_decisions_that_are_written(folder):
    write_predictions(folder.predictions("calibration"), predicted(n=40, seed=9))
    evaluation = evaluate_run(folder, draws=5)["validation"]
    fitted = Fitted.read(folder.decision)

    assert fitted == evaluation.fitted == Fitted.read(str(folder.decision))
    temperature = evaluation.metrics.temperature
    assert temperature.per_member.temperatures == fitted.temperatures.per_member
    decisions = fitted.apply(evaluation.predictions, rng=np.random.default_rng(0))
    log_probs_NC = decisions.log_probs_NC["pooled"]
    nll = sklearn.metrics.log_loss(evaluation.predictions.labels, np.exp(log_probs_NC))
    assert temperature.pooled.after["nll"].value == pytest.approx(nll)
    for rule in fitted.rules:
        assert evaluation.metrics.conformal.methods[rule.method][f"{rule.level:.2f}"].thresholds == rule.thresholds


def test_files_leave_their_decisions_where_they_are_told_to(folder, tmp_path):
    write_predictions(tmp_path / "other.parquet", predicted(n=50, seed=10))
    output, main = RunFolder(tmp_path / "out"), folder.predictions("validation")
    evaluations = evaluate_files(main, calibration=tmp_path / "other.parquet", output=output, draws=5)

    assert Fitted.read(output.decision) == evaluations["validation"].fitted
    assert Fitted.read(output.decision).calibration.n == 50

    evaluate_files(main, output=output, draws=5)
    assert not output.decision.exists(), "it does not belong to these metrics"


def test_predictions_of_another_kind_are_refused():
    with pytest.raises(ConfigError, match=r"evaluate takes Predictions, found 'mine.csv'; read a file with load_pred"):
        evaluate("mine.csv")


def test_a_calibration_file_takes_the_place_of_the_split(folder, tmp_path):
    write_predictions(folder.predictions("calibration"), predicted(n=40, seed=9))
    write_predictions(tmp_path / "other.parquet", predicted(n=50, seed=10))
    evaluations = evaluate_run(folder, calibration=tmp_path / "other.parquet", draws=5)

    assert evaluations["validation"].metrics.temperature.calibration.n == 50


def test_nothing_is_calibrated_on_the_rows_that_are_tested():
    predictions = predicted(n=30)

    with pytest.raises(DataError, match="30 of 30 test examples are calibration examples too"):
        evaluate(predictions, calibration=predictions)


def test_sets_of_another_number_of_classes_are_refused():
    with pytest.raises(DataError, match="set 'far' has 3 classes but 'near' has 2; give sets of one task"):
        evaluate_sets({"near": predicted(), "far": predicted(classes=3)})


def test_the_axes_of_histograms_are_common(folder):
    drawn = [evaluation.metrics.histograms for evaluation in evaluate_run(folder, draws=0).values()]

    for measure in ("entropy", "mutual_information"):
        assert len({each[measure].upper for each in drawn}) == 1


def test_a_run_without_predictions_cannot_be_evaluated(tmp_path):
    with pytest.raises(DataError, match="there are no predictions; train and predict first"):
        evaluate_run(RunFolder(tmp_path / "empty"))


def test_a_broken_set_leaves_no_files(folder):
    folder.predictions("stream").write_text("torn")

    with pytest.raises(DataError, match=r"stream\.parquet: this is not a readable Parquet file"):
        evaluate_run(folder, draws=0)
    assert not folder.metrics("validation").exists()


def test_evaluation_imports_no_torch(folder):
    program = (
        "import sys; from pathlib import Path\n"
        "from ensemble_uq_llm.evaluation import comparison\n"
        "from ensemble_uq_llm.evaluation.files import evaluate_files\n"
        "from ensemble_uq_llm.run_folder import RunFolder\n"
        f"evaluate_files.evaluate_run(RunFolder(Path({str(folder.root)!r})), draws=5)\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
