"""How often do the 95% intervals hold the true value? A simulation for every number with an interval.

    python benchmarks/interval_coverage.py [--examples 500] [--repetitions 400] [--draws 400]

Draws sets of examples from a world of three members again and again, evaluates each, and counts the intervals that
hold the number's true value: that of a million examples of the same world. A calibration error has no such
value, for noise raises it the more the fewer the examples; there it is the mean over the sets drawn.
"""

import argparse

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ensemble_uq_llm.evaluation import describe as blocks
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.quality.metrics import CENTRED as CENTRED_METRICS
from ensemble_uq_llm.evaluation.statistics.bootstrap import Resampled, compare

LARGE = 1_000_000
SCORES = ("one_minus_confidence", "mutual_information")
CENTRED = frozenset(f"ensemble/{name}" for name in CENTRED_METRICS)


def world(examples: int, rng: np.random.Generator) -> Measured:
    """Draw examples: true log-odds, labels from them, and three overconfident members with noise of their own."""
    log_odds_N = 1.5 * rng.normal(size=examples)
    labels_N = (rng.random(examples) < 1 / (1 + np.exp(-log_odds_N))).astype(np.int64)
    noisy_MN = 1.3 * log_odds_N + 0.7 * rng.normal(size=(3, examples))
    predictions = Predictions(
        ids=tuple(map(str, range(examples))),
        labels=tuple(labels_N.tolist()),
        seeds=(1, 2, 3),
        logits_MNC=np.stack([np.zeros_like(noisy_MN), noisy_MN], axis=-1).astype(np.float32),
    )
    return Measured.of(predictions)


def wanted(resampled: Resampled) -> list[str]:
    """Return the names of the numbers that are checked."""
    parts = ("ensemble", *(f"selective/{score}" for score in SCORES))
    return [name for name in resampled.values if name.rpartition("/")[0] in parts]


def main() -> None:
    """Simulate, count, and print a line for every number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--draws", type=int, default=400)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    large = blocks.resample_labelled(world(LARGE, rng), {}, draws=0, seed=0)
    sets = [
        blocks.resample_labelled(world(arguments.examples, rng), {}, draws=arguments.draws, seed=seed)
        for seed in range(arguments.repetitions)
    ]
    table = Table("number", "true value", "mean value", "intervals that hold it", box=None)
    for name in wanted(large):
        values = np.array([each.values[name] for each in sets])
        target = float(np.nanmean(values)) if name in CENTRED else large.values[name]
        intervals = [each.estimate(name, centred=name in CENTRED).ci95 for each in sets]
        table.add_row(name, f"{target:.4f}", f"{np.nanmean(values):.4f}", share(intervals, target))
    gain = [paired_gain(each) for each in sets]
    table.add_row("NLL, ensemble - member 0 (paired)", f"{difference(large):.4f}", "", share(gain, difference(large)))
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.repetitions)
    Console(width=120).print(table, f"one standard error of a share: {error:.1f} points", sep="\n")


def share(intervals: list[tuple[float, float] | None], target: float) -> str:
    """Return the share of intervals that hold the target."""
    known = np.array([each for each in intervals if each is not None])
    held: NDArray[np.bool_] = (known[:, 0] <= target) & (target <= known[:, 1])
    return f"{held.mean():.1%}"


def difference(resampled: Resampled) -> float:
    """Return the ensemble's NLL minus that of its first member."""
    return resampled.values["ensemble/nll"] - resampled.values["members/nll/member_0"]


def paired_gain(resampled: Resampled) -> tuple[float, float] | None:
    """Return the interval of that difference."""
    ours, theirs = "ensemble/nll", "members/nll/member_0"
    values, draws_D = resampled.values, resampled.draws_D
    return compare(values[ours], draws_D[ours], values[theirs], draws_D[theirs]).ci95


if __name__ == "__main__":
    main()
