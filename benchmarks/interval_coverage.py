"""How often do the 95% intervals hold the true value? A simulation for every number with an interval.

    python benchmarks/interval_coverage.py [--examples 500] [--repetitions 400] [--draws 400] [--errors]

Draws sets of examples from a world of three members again and again, evaluates each, and counts the intervals that
hold the number's true value: that of a million examples of the same world. A calibration error has no such
value, for noise raises it the more the fewer the examples; there it is the mean over the sets drawn. With `--errors`
it is the true error that the intervals of the debiased errors are asked for, from a calibrated model to an
overconfident one, at 200 to 2,000 examples.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from ensemble_uq_llm.evaluation.labelled import LabelledNumbers, resample_labelled
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members.gain import OfPredictor
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED, METRICS, summed_for
from ensemble_uq_llm.evaluation.quality.true_error import error_laws
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.bootstrap import Resampled, compare
from ensemble_uq_llm.statistics.intervals import Estimate

FloatArray: TypeAlias = NDArray[np.float64]

LARGE = 1_000_000
KINDS = summed_for(metric for metric in METRICS if metric.same_as is None)
SCORES = ("one_minus_confidence", "mutual_information")
MEMBERS = trained((1, 2, 3))
ENSEMBLE_NLL: OfPredictor = ("nll", None)
MEMBER_NLL: OfPredictor = ("nll", MEMBERS[0])


def world(examples: int, rng: np.random.Generator) -> Measured:
    """Draw examples: true log-odds, labels from them, and three overconfident members with noise of their own."""
    log_odds_N = 1.5 * rng.normal(size=examples)
    labels_N = (rng.random(examples) < 1 / (1 + np.exp(-log_odds_N))).astype(np.int64)
    noisy_MN = 1.3 * log_odds_N + 0.7 * rng.normal(size=(3, examples))
    predictions = Predictions(
        ids=tuple(map(str, range(examples))),
        labels=tuple(labels_N.tolist()),
        members=MEMBERS,
        logits_MNC=np.stack([np.zeros_like(noisy_MN), noisy_MN], axis=-1).astype(np.float32),
    )
    return Measured.of(predictions)


def overconfident(examples: int, factor: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw true probabilities of two classes, and the log-probabilities of one who is too sure by a factor."""
    log_odds_N = 1.5 * rng.normal(size=examples)
    said_N = factor * log_odds_N
    truth_N = 1 / (1 + np.exp(-log_odds_N))
    return truth_N, np.stack([-np.logaddexp(0, said_N), -np.logaddexp(0, -said_N)], axis=1)


def debiased(work: tuple[int, float, int, int]) -> dict[str, Estimate]:
    """Return the debiased errors of one set that is drawn."""
    examples, factor, draws, seed = work
    rng = np.random.default_rng(seed)
    truth_N, log_probs_NC = overconfident(examples, factor, rng)
    labels_N = (rng.random(examples) < truth_N).astype(np.int64)
    with threadpool_limits(1):
        laws = error_laws({0: log_probs_NC}, labels_N, KINDS, draws=draws, seed=seed)[0]
    return {name: law.estimate() for name, law in laws.items()}


def true_errors(factor: float) -> dict[str, float]:
    """Return the errors of a million examples with their debiased value, which noise does not raise."""
    rng = np.random.default_rng(0)
    truth_N, log_probs_NC = overconfident(LARGE, factor, rng)
    labels_N = (rng.random(LARGE) < truth_N).astype(np.int64)
    laws = error_laws({0: log_probs_NC}, labels_N, KINDS, draws=20, seed=0)[0]
    return {name: law.value for name, law in laws.items()} if factor != 1 else dict.fromkeys(laws, 0.0)


def errors_table(repetitions: int, draws: int) -> Table:
    """Return how often the intervals of debiased errors hold the true ones."""
    table = Table("examples", "too sure by", "true ECE", "mean debiased ECE", *KINDS, box=None)
    with ProcessPoolExecutor() as pool:
        for factor in (1.0, 1.2, 1.5, 1.9):
            true = true_errors(factor)
            for examples in (200, 500, 2000):
                works = [(examples, factor, draws, seed) for seed in range(repetitions)]
                found = list(pool.map(debiased, works, chunksize=10))
                shares = [share([each[name].ci95 for each in found], true[name]) for name in KINDS]
                mean = np.mean([each["ece"].value for each in found])
                table.add_row(f"{examples:,}", f"{factor}", f"{true['ece']:.3f}", f"{mean:.3f}", *shares)
                print(examples, factor, true["ece"], mean, *shares, flush=True)
    return table


def wanted(numbers: LabelledNumbers) -> dict[str, Resampled[str]]:
    """Return the families of numbers that are checked, by what they are called."""
    return {"ensemble": numbers.ensemble} | {score: numbers.selective[score] for score in SCORES}


def main() -> None:
    """Simulate, count, and print a line for every number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--errors", action="store_true")
    arguments = parser.parse_args()
    if arguments.errors:
        Console(width=140).print(errors_table(arguments.repetitions, arguments.draws))
        return
    rng = np.random.default_rng(0)
    large = resample_labelled(world(LARGE, rng), {}, draws=0, seed=0)
    sets = [
        resample_labelled(world(arguments.examples, rng), {}, draws=arguments.draws, seed=seed)
        for seed in range(arguments.repetitions)
    ]
    table = Table("number", "true value", "mean value", "intervals that hold it", box=None)
    for family, true in wanted(large).items():
        drawn = [wanted(each)[family] for each in sets]
        centred = CENTRED if family == "ensemble" else frozenset()
        for name in true.values:
            values = np.array([each.values[name] for each in drawn])
            target = float(np.nanmean(values)) if name in centred else true.values[name]
            intervals = [each.estimate(name, centred=name in centred).ci95 for each in drawn]
            cells = (f"{target:.4f}", f"{np.nanmean(values):.4f}", share(intervals, target))
            table.add_row(f"{family}: {name}", *cells)
    gain = [paired_gain(each) for each in sets]
    table.add_row("NLL, ensemble - member 0 (paired)", f"{difference(large):.4f}", "", share(gain, difference(large)))
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.repetitions)
    Console(width=120).print(table, f"one standard error of a share: {error:.1f} points", sep="\n")


def share(intervals: list[tuple[float, float] | None], target: float) -> str:
    """Return the share of intervals that hold the target."""
    known = np.array([each for each in intervals if each is not None])
    held: NDArray[np.bool_] = (known[:, 0] <= target) & (target <= known[:, 1])
    return f"{held.mean():.1%}"


def difference(numbers: LabelledNumbers) -> float:
    """Return the ensemble's NLL minus that of its first member."""
    return numbers.members.values[ENSEMBLE_NLL] - numbers.members.values[MEMBER_NLL]


def paired_gain(numbers: LabelledNumbers) -> tuple[float, float] | None:
    """Return the interval of that difference."""
    values, draws_D = numbers.members.values, numbers.members.draws_D
    sides = (values[ENSEMBLE_NLL], draws_D[ENSEMBLE_NLL], values[MEMBER_NLL], draws_D[MEMBER_NLL])
    return compare(*sides, examples=numbers.members.examples).ci95


if __name__ == "__main__":
    main()
