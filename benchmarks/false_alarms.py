"""How often are equally calibrated predictors said to differ in calibration, and differing ones? A simulation.

    python benchmarks/false_alarms.py [unpaired|paired|gain|temperature ...] [--repetitions 200] [--draws 200]

Draws labels from known probabilities again and again, measures the calibration errors of predictors whose true errors
are equal (the rows that begin with "equal") or are not, and counts how often the difference has p < 0.05. `unpaired`
is a shifted set beside the main one, `paired` two runs on the same labels, `gain` an ensemble of five beside its mean
and its best member, `temperature` a model before and after scaling by a temperature fitted on 500 other examples.
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from ensemble_uq_llm.evaluation.decisions.temperature import fit_temperature
from ensemble_uq_llm.evaluation.quality.calibration import confidence_bin
from ensemble_uq_llm.evaluation.quality.metrics import METRICS, summed_for
from ensemble_uq_llm.evaluation.quality.residual_sums import ECE
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, compare_errors, error_laws

KINDS = summed_for(metric for metric in METRICS if metric.same_as is None)
Found = dict[str, bool]
Case = Callable[[np.random.Generator, int], Found]


def probabilities(
    rng: np.random.Generator, examples: int, classes: int, *, sharpness: float = 1.5
) -> NDArray[np.float64]:
    """Draw true probabilities, of two classes from log-odds of this standard deviation."""
    logits_NC = sharpness * rng.normal(size=(examples, classes))
    logits_NC[:, 0] *= classes > 2
    return softmax(logits_NC)


def softmax(logits_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities."""
    exponential_NC = np.exp(logits_NC - logits_NC.max(axis=-1, keepdims=True))
    return exponential_NC / exponential_NC.sum(axis=-1, keepdims=True)


def sharpened(probs_NC: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return the log-probabilities of one who is too sure by a factor."""
    return np.log(softmax(factor * np.log(probs_NC)))


def labels_from(rng: np.random.Generator, probs_NC: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw a label from each row."""
    return (rng.random(len(probs_NC))[:, None] > probs_NC.cumsum(axis=1)[:, :-1]).sum(axis=1)


def differ(a: dict[str, ErrorLaw], b: dict[str, ErrorLaw], *, paired: bool = True) -> Found:
    """Return by error whether it is said to differ."""
    return {name: (compare_errors(a[name], b[name], paired=paired).p_value or 1.0) < 0.05 for name in a}


def unpaired(
    rng: np.random.Generator, draws: int, *, classes: int, sizes: tuple[int, int], factors: tuple[float, float]
) -> Found:
    """Two sets of one distribution, answered too surely by a factor each."""
    laws = []
    for size, factor in zip(sizes, factors, strict=True):
        truth_NC = probabilities(rng, size, classes)
        labels_N = labels_from(rng, truth_NC)
        seed = int(rng.integers(2**31))
        laws.append(error_laws({0: sharpened(truth_NC, factor)}, labels_N, KINDS, draws=draws, seed=seed)[0])
    return differ(*laws, paired=False)


def paired(
    rng: np.random.Generator, draws: int, *, classes: int, size: int, factors: tuple[float, float] = (1.0, 1.0)
) -> Found:
    """One who knows the truth and one who knows half of it, both calibrated but for the factors."""
    truth_NC, other_NC = (probabilities(rng, size, classes) for _ in range(2))
    labels_N = labels_from(rng, truth_NC)
    a_NC, b_NC = sharpened(truth_NC, factors[0]), sharpened((truth_NC + other_NC) / 2, factors[1])
    laws = error_laws({"a": a_NC, "b": b_NC}, labels_N, KINDS, draws=draws, seed=int(rng.integers(2**31)))
    return differ(laws["a"], laws["b"])


def far_apart(rng: np.random.Generator, draws: int, *, classes: int, size: int) -> Found:
    """One who is nearly certain and one who knows next to nothing, both calibrated."""
    eight_KNC = np.stack([probabilities(rng, size, classes, sharpness=8.0) for _ in range(8)])
    labels_N = labels_from(rng, eight_KNC[0])
    predictors = {"a": np.log(np.maximum(eight_KNC[0], 1e-30)), "b": np.log(eight_KNC.mean(axis=0))}
    laws = error_laws(predictors, labels_N, KINDS, draws=draws, seed=int(rng.integers(2**31)))
    return differ(laws["a"], laws["b"])


def alike(rng: np.random.Generator, draws: int, *, classes: int, size: int, factor: float) -> Found:
    """Two who see the truth through noise of their own, both too sure."""
    logits_NC = 1.2 * rng.normal(size=(size, classes))
    labels_N = labels_from(rng, softmax(logits_NC))
    seen = {k: sharpened(softmax(logits_NC + 0.7 * rng.normal(size=logits_NC.shape)), factor) for k in range(2)}
    laws = error_laws(seen, labels_N, KINDS, draws=draws, seed=int(rng.integers(2**31)))
    return differ(laws[0], laws[1])


def members(rng: np.random.Generator, size: int, noise: float) -> NDArray[np.float64]:
    """Draw the probabilities of five members that see the log-odds through noise of their own, [M, N, 2]."""
    log_odds_MN = 1.5 * rng.normal(size=size) + noise * rng.normal(size=(5, size))
    return softmax(np.stack([np.zeros_like(log_odds_MN), log_odds_MN], axis=-1))


def gain(rng: np.random.Generator, draws: int, *, size: int, noise: float, factor: float) -> Found:
    """An ensemble and its members, the truth being the ensemble's probabilities, sharpened by a factor."""
    probs_MNC = members(rng, size, noise)
    pooled_NC = probs_MNC.mean(axis=0)
    labels_N = labels_from(rng, np.exp(sharpened(pooled_NC, factor)))
    predictors = {"all": np.log(pooled_NC)} | dict(enumerate(np.log(probs_MNC)))
    laws = error_laws(predictors, labels_N, {"ece": ECE}, draws=draws, seed=int(rng.integers(2**31)))
    ours, theirs = laws["all"]["ece"], [laws[m]["ece"] for m in range(5)]
    against = {"over the mean": ErrorLaw.mean_of(theirs), "over the best": ErrorLaw.least_of(theirs)}
    return {name: (compare_errors(ours, law).p_value or 1.0) < 0.05 for name, law in against.items()}


def equal_factor(noise: float) -> float:
    """Return the factor by which the truth is sharper than the ensemble where both err equally, on 200,000 examples."""
    rng = np.random.default_rng(0)
    probs_MNC = members(rng, 200_000, noise)
    pooled_NC = probs_MNC.mean(axis=0)
    low, high = 1.0, 3.0
    for _ in range(20):
        middle = (low + high) / 2
        truth_NC = np.exp(sharpened(pooled_NC, middle))
        mean = np.mean([true_ece(probs_NC, truth_NC) for probs_NC in probs_MNC])
        low, high = (low, middle) if true_ece(pooled_NC, truth_NC) > mean else (middle, high)
    return low


def true_ece(probs_NC: NDArray[np.float64], truth_NC: NDArray[np.float64]) -> float:
    """Return the ECE against true probabilities."""
    rows, top_N = np.arange(len(probs_NC)), probs_NC.argmax(axis=1)
    confidence_N = probs_NC[rows, top_N]
    gaps_H = np.bincount(confidence_bin(confidence_N), confidence_N - truth_NC[rows, top_N])
    return float(np.abs(gaps_H).sum() / len(rows))


def temperature(rng: np.random.Generator, draws: int, *, classes: int, size: int, factor: float) -> Found:
    """A model too sure by a factor, before and after a temperature fitted on 500 other examples."""
    truth_NC = probabilities(rng, size, classes)
    fitted_on_NC = probabilities(rng, 500, classes)
    value = fit_temperature(sharpened(fitted_on_NC, factor), labels_from(rng, fitted_on_NC)).value
    before_NC = sharpened(truth_NC, factor)
    after_NC = np.log(softmax(before_NC / value))
    predictors = {"after": after_NC, "before": before_NC}
    laws = error_laws(predictors, labels_from(rng, truth_NC), KINDS, draws=draws, seed=int(rng.integers(2**31)))
    return differ(laws["after"], laws["before"])


def cases(which: str) -> Iterator[tuple[str, Case]]:
    """Yield the cases of a simulation with what they are called."""
    if which == "gain":
        yield "equal: members differ little, n 500", partial(gain, size=500, noise=0.1, factor=1.0)
        yield "equal: both err, n 500", partial(gain, size=500, noise=0.8, factor=equal_factor(0.8))
        yield "not: members too sure, n 500", partial(gain, size=500, noise=1.5, factor=1.0)
        return
    for classes in (2, 4):
        if which == "unpaired":
            for sizes in ((3270, 300), (1000, 100)):
                for factor in (1.0, 2.0):
                    name = f"equal: too sure by {factor:.0f}, n {sizes[0]:,} and {sizes[1]}, {classes} classes"
                    yield name, partial(unpaired, classes=classes, sizes=sizes, factors=(factor, factor))
            name = f"not: factors 1 and 2, n 3,270 and 300, {classes} classes"
            yield name, partial(unpaired, classes=classes, sizes=(3270, 300), factors=(1.0, 2.0))
        elif which == "paired":
            for size in (500, 2000):
                name = f"equal: very sharp and very blunt, n {size:,}, {classes} classes"
                yield name, partial(far_apart, classes=classes, size=size)
            for size in (100, 500, 2000):
                yield (
                    f"equal: sharp and blunt, n {size:,}, {classes} classes",
                    partial(paired, classes=classes, size=size),
                )
            yield (
                f"equal: both too sure, n 500, {classes} classes",
                partial(alike, classes=classes, size=500, factor=1.5),
            )
            for factor in (1.5, 2.0):
                name = f"not: factors 1 and {factor}, n 500, {classes} classes"
                yield name, partial(paired, classes=classes, size=500, factors=(1.0, factor))
        else:
            name = f"equal: calibrated before, n 500, {classes} classes"
            yield name, partial(temperature, classes=classes, size=500, factor=1.0)
            name = f"not: factor 2 before, n 500, {classes} classes"
            yield name, partial(temperature, classes=classes, size=500, factor=2.0)


def once(case: Case, draws: int, seed: int) -> Found:
    """Return what one simulated evaluation finds."""
    with threadpool_limits(1):
        return case(np.random.default_rng(seed), draws)


def main() -> None:
    """Simulate, count, and print a table for every kind of comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", default=["unpaired", "paired", "gain", "temperature"])
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    arguments = parser.parse_args()
    console = Console(width=140)
    with ProcessPoolExecutor() as pool:
        for which in arguments.which:
            table = None
            for name, case in cases(which):
                work = partial(once, case, arguments.draws)
                found = list(pool.map(work, range(arguments.repetitions), chunksize=5))
                table = table or Table(which, *found[0], box=None)
                shares = [f"{np.mean([each[key] for each in found]):.1%}" for key in found[0]]
                table.add_row(name, *shares)
                print(name, *shares, flush=True)
            console.print(table)
    error = 100 * np.sqrt(0.95 * 0.05 / arguments.repetitions)
    console.print(f"one standard error of a share of 5%: {error:.1f} points")


if __name__ == "__main__":
    main()
