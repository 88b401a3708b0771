"""Does epistemic uncertainty fall with more training data, and does aleatoric uncertainty stay what it is?

    python benchmarks/data_curve.py [--questions 125 250 500 1000 2000] [--same-epochs] [--set KEY=VALUE ...]

Trains the demo's ensemble on ever more questions of the synthetic world, evaluates each on the same validation
questions, and compares what it says with the world's true probabilities. Every size gets as many optimiser
steps as the largest, so that only the data differ; with --same-epochs it gets as many epochs instead, and small
sizes are also trained less.
"""

import argparse
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ensemble_uq_llm import load_config, predict, train
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.quality.truth import truth_statistics
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.pipeline import demo_config
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare, resample
from ensemble_uq_llm.statistics.intervals import Estimate
from ensemble_uq_llm.statistics.statistic import Statistic, family_of, weighted_mean

_WIDTH = 140  # five sizes side by side, also in a file

ROWS = {
    "accuracy": "accuracy",
    "mean_absolute_error": "mean |p - true p|",
    "entropy": "entropy (total)",
    "expected_entropy": "expected entropy (aleatoric)",
    "true_entropy": "true entropy",
    "mutual_information": "mutual information (epistemic)",
    "aleatoric_correlation": "correlation of expected and true entropy",
}


def configurations(arguments: argparse.Namespace, folder: Path) -> dict[int, Config]:
    """Return one configuration a number of questions, smallest first."""
    # All questions are trained on: nothing here is fitted afterwards.
    overrides = ["calibration_fraction=0", *arguments.set]
    base = load_config(arguments.config or demo_config(), overrides)
    sizes = sorted(set(arguments.questions))
    epochs = {n: base.num_epochs if arguments.same_epochs else round(base.num_epochs * sizes[-1] / n) for n in sizes}
    return {
        n: base.model_copy(update={"max_train_examples": n, "num_epochs": epochs[n], "output_dir": folder / str(n)})
        for n in sizes
    }


def run(config: Config) -> Predictions:
    """Train, predict the validation questions, and return what every member said."""
    train(config.model_copy(update={"max_validation_examples": 16}))  # its own check after every epoch is not needed
    predict(config, [VALIDATION])
    return read_predictions(RunFolder(config.output_dir).predictions(VALIDATION))


def measure(predictions: Predictions, *, draws: int) -> Resampled[str]:
    """Return the rows' numbers on the questions, and on resamplings of them that are the same for every run."""
    true_NC = predictions.true_probs_NC
    if true_NC is None:
        raise DataError("the validation questions have no true probabilities; use the synthetic world (dataset)")
    uncertainty = measure_uncertainty(predictions.logits_MNC)
    truth = truth_statistics(
        uncertainty.log_probs_NC, true_NC, predictions.labels_N, expected_entropy_N=uncertainty.expected_entropy_N
    )
    log_true_NC = np.log(np.where(true_NC > 0, true_NC, 1.0))
    statistics: dict[str, Statistic] = {
        "accuracy": weighted_mean(uncertainty.prediction_N == predictions.labels_N),
        "entropy": weighted_mean(uncertainty.entropy_N),
        "expected_entropy": weighted_mean(uncertainty.expected_entropy_N),
        "true_entropy": weighted_mean(-(true_NC * log_true_NC).sum(axis=1)),
        "mutual_information": weighted_mean(uncertainty.mutual_information_N),
        "mean_absolute_error": truth["mean_absolute_error"],
        "aleatoric_correlation": truth["aleatoric_correlation"],
    }
    return resample(family_of(statistics), sizes=[len(predictions.ids)], draws=draws)


def table_of(results: dict[int, Resampled[str]]) -> Table:
    """Return the numbers with their 95% intervals, one column a number of training questions."""
    table = Table("training questions", *(f"{n:,}" for n in results), title="95% intervals over validation questions")
    for name, title in ROWS.items():
        table.add_row(title, *(_cell(result.estimate(name)) for result in results.values()))
    return table


def verdict(results: dict[int, Resampled[str]]) -> str:
    """Return whether the mutual information falls from the fewest questions to the most, and where it rises between."""
    (fewest, first), *_, (most, last) = results.items()
    name = "mutual_information"
    sides = (last.values[name], last.draws_D[name], first.values[name], first.draws_D[name])
    change = compare(*sides, examples=last.examples)
    interval = "no interval" if change.ci95 is None else f"95% interval {change.ci95[0]:+.4f} to {change.ci95[1]:+.4f}"
    falls = change.ci95 is not None and change.ci95[1] < 0
    steps = pairwise((n, result.values[name]) for n, result in results.items())
    rises = [f"{n:,}" for (_, before), (n, after) in steps if after > before]
    return (
        f"Mutual information {'FALLS' if falls else 'DOES NOT FALL'} from {fewest:,} to {most:,} questions: "
        f"{change.value:+.4f} nats, {interval}. Steps on which it rises: {', '.join(rises) or 'none'}."
    )


def _cell(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    interval = "" if estimate.ci95 is None else f"\n{estimate.ci95[0]:.3f} to {estimate.ci95[1]:.3f}"
    return f"{estimate.value:.4f}{interval}"


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, print the table, and say whether the mutual information falls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, nargs="+", default=[125, 250, 500, 1000, 2000])
    parser.add_argument("--config", default=None, help="a YAML of the synthetic world; the demo's by default")
    parser.add_argument("--same-epochs", action="store_true", help="the same number of epochs for every size")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args(argv)
    if len(set(arguments.questions)) < 2:
        parser.error("--questions: give two different numbers at least")
    console = Console(width=_WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for n, config in configurations(arguments, Path(folder)).items():
            console.print(f"{n:,} questions, {config.num_epochs} epochs, {len(config.member_seeds)} members")
            results[n] = measure(run(config), draws=arguments.draws)
    console.print(table_of(results))
    console.print(verdict(results))


if __name__ == "__main__":
    main()
