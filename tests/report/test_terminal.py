import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from ensemble_uq_llm.evaluation.comparison import compare_predictions
from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_sets
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import protocol_line, with_protocol
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.report.terminal import comparison_table, headline_table, shift_table
from ensemble_uq_llm.run_folder import RunFolder
from small_predictions import predicted, unlabelled
from small_protocols import KNOWN


def rendered(renderable, *, width=80):
    """As a log file would hold it: 80 columns, no terminal."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert all(len(line) <= width for line in text.splitlines())
    return text


def row(text, title):
    lines = [line for line in text.splitlines() if line.strip().startswith(title)]
    assert len(lines) == 1, text
    return lines[0]


def test_the_headline_shows_every_metric_with_its_interval_and_the_mean_member():
    metrics = evaluate(predicted(n=80, truth=True), draws=50).metrics
    text = rendered(headline_table("validation", metrics))

    assert "validation  80 examples, 3 members" in text
    accuracy, mean = metrics.ensemble["accuracy"], metrics.members_mean["accuracy"].value
    low, high = accuracy.ci95
    for part in (f"{accuracy.value:.1%}", f"{low:.1%} to {high:.1%}", f"{mean:.1%}"):
        assert part in row(text, "Accuracy ↑")
    for title in ("ROC AUC ↑", "Average precision ↑", "NLL (nats) ↓", "Brier score ↓"):
        assert row(text, title)
    ece = metrics.ensemble["ece"]
    low, high = ece.debiased.ci95
    numbers = [ece.value, ece.debiased.value, low, high, ece.noise_floor.mean, ece.noise_floor.p95]
    value, debiased, low, high, mean, p95 = (f"{number:.3f}" for number in numbers)
    assert row(text, "ECE (15 bins)").split()[3:] == [value, debiased, f"({low}", "to", f"{high})", mean, p95]
    assert row(text, "Classwise ECE")
    assert "ECE of class 1" not in text  # the same number
    for block in (metrics.best_score, metrics.size_curve):
        assert block.answer in " ".join(text.split())
    assert f"{metrics.truth['bayes_accuracy'].value:.1%}" in row(text, "Bayes accuracy (the ceiling)")
    assert f"{metrics.uncertainty['average_entropy']:.4f}" in row(text, "Entropy (total)")


def test_a_narrow_terminal_breaks_the_calibration_errors_between_words():
    metrics = evaluate(predicted(n=80), draws=50).metrics
    words = rendered(headline_table("validation", metrics), width=60).split()

    assert {"Calibration", "calibrated", "Classwise", "reliability"} <= set(words)
    assert f"{metrics.ensemble['ece'].noise_floor.p95:.3f}" in words


def test_without_labels_only_uncertainty_is_shown():
    text = rendered(headline_table("stream", evaluate(unlabelled(predicted(n=20)), draws=0).metrics))

    assert "20 examples, 0 of them labelled, 3 members" in text
    assert "Accuracy" not in text
    assert row(text, "Mutual information (epistemic)")


def test_a_calibration_split_is_told_in_sentences():
    calibration = predicted(n=80, seed=9)
    metrics = evaluate(predicted(n=80), calibration=calibration, draws=20).metrics
    text = " ".join(rendered(headline_table("validation", metrics)).split())

    pooled, sets = metrics.temperature.pooled, metrics.conformal.methods["lac"]["0.90"]
    assert f"A temperature of {pooled.temperatures[0].value:.2f}, fitted on 80 other examples" in text
    assert f"to {pooled.after['nll'].value:.3f} and the ECE" in text
    assert f"Conformal sets for 90%: {sets.coverage.value:.1%} hold the label" in text
    low, high = sets.promise.expected95
    assert f"Promise: {sets.promise.verdict} ({low:.1%} to {high:.1%} is usual for rules made so)." in text


def test_a_temperature_at_its_bound_is_called_that():
    labels = tuple(1 - label for label in predicted(n=80, seed=9).labels)
    inverted = replace(predicted(n=80, seed=9), labels=labels)
    text = " ".join(rendered(headline_table("x", evaluate(predicted(), calibration=inverted, draws=0).metrics)).split())

    assert "A temperature of 100.00 (the bound: fit it on more), fitted on 80" in text


def test_without_draws_the_ece_stands_among_the_metrics():
    text = rendered(headline_table("validation", evaluate(predicted(n=80), draws=0).metrics))

    assert "If calibrated" not in text
    assert row(text, "ECE (15 bins) ↓")


def test_what_is_undefined_is_a_dash():
    text = rendered(headline_table("one", evaluate(predicted(n=1, members=1), draws=10).metrics))

    assert row(text, "ROC AUC").split()[-2:] == ["—", "—"]
    assert "1 examples, 1 member\n" not in text
    assert "1 example, 1 member" in text


@pytest.mark.parametrize("draws", [0, 20])
def test_the_shift_table_has_one_whole_line_a_set(tmp_path, draws):
    folder = RunFolder(tmp_path)
    write_predictions(folder.predictions("validation"), predicted(n=80))
    write_predictions(folder.predictions("long_passages"), predicted(n=50, seed=1, noise=4.0))
    write_predictions(folder.predictions("stream"), unlabelled(predicted(n=50, seed=1)))
    metrics = {name: evaluation.metrics for name, evaluation in evaluate_run(folder, draws=draws).items()}
    text = rendered(shift_table(metrics))

    auroc = metrics["long_passages"].shift.numbers["auroc"]["entropy"]
    interval = "{:.2f}–{:.2f}".format(*auroc.ci95) if draws else "—"  # noqa: RUF001 (an en dash is what a range has)
    assert row(text, "long_passages").split()[-2:] == [f"{auroc.value:.3f}", interval]
    assert "By its entropy, " in text
    assert "2 other sets" in text
    assert "shifted" not in text
    table = text.partition("By its entropy")[0]
    assert row(table, "validation").split()[-2:] == ["—", "—"]
    assert row(table, "stream").split()[2:4] == ["—", "—"]


def test_what_went_wrong_stands_above_the_numbers_with_the_names_of_the_classes():
    always = replace(predicted(n=60), logits_MNC=np.tile(np.float32([0, 1]), (3, 60, 1)))
    text = " ".join(rendered(headline_table("x", evaluate(always, draws=50).metrics, ["no", "yes"])).split())

    assert "Warning: Every member gives one answer, 'yes', to all 60 examples, whatever is asked." in text
    assert text.index("Warning: Nothing shows that it has learned anything") < text.index("Accuracy")
    assert "Always answering 'yes' would be right in" in text or "Always answering 'no' would be right in" in text


def test_other_sets_own_findings_follow_their_table():
    always = replace(predicted(n=60, seed=5), logits_MNC=np.tile(np.float32([0, 1]), (3, 60, 1)))
    evaluations = evaluate_sets({"usual": predicted(n=60), "far": always}, draws=50)
    text = " ".join(rendered(shift_table({name: each.metrics for name, each in evaluations.items()})).split())

    assert "Warning: far: Every member gives one answer, 'class 1', to all 60 examples" in text


def test_names_cannot_carry_markup():
    text = rendered(headline_table("[red]x[/red]", evaluate(predicted(n=5), draws=0).metrics))

    assert "[red]x[/red]" in text


@pytest.mark.parametrize("width", [60, 120])
def test_the_protocol_ends_what_is_said_of_a_set(width):
    metrics = with_protocol(evaluate(predicted(n=40), draws=0).metrics, KNOWN)
    text = " ".join(rendered(headline_table("validation", metrics), width=width).split())
    assert text.endswith(" ".join(protocol_line(KNOWN).split()))


def test_a_comparison_says_in_what_the_protocols_differ():
    a, b = predicted(n=40), predicted(n=40, members=2)
    text = " ".join(rendered(comparison_table(compare_predictions(a, b, draws=10))).split())
    assert "The protocols of A and B differ in the number of members (3 and 2). Protocol of A: members 3, " in text
    assert text.endswith("ECE in 15 bins of equal width; not known: base, prompt, answers and training.")
