"""Time and memory of `ensemble-uq evaluate`: the size of BoolQ with two shifted sets, and 100,000 examples.

    python benchmarks/evaluation_speed.py [--draws 1000]

Every case runs the command in a fresh process, on predictions drawn from a generator: members that see the true
logits through noise of their own. The report is written too.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions

MEMBERS = 10
CHILD = """
import resource, sys
from ensemble_uq_llm.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    if stop.code:
        raise
assert not {"torch", "transformers"} & set(sys.modules), "evaluation imported torch"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One evaluation: its examples, those of every shifted set, and those held out for calibration."""

    title: str
    examples: int
    shifted: tuple[int, ...] = ()
    calibration: int = 0
    classes: int = 2


CASES = (
    Case(title="BoolQ's size, two shifted sets", examples=3270, shifted=(3270, 3270)),
    Case(title="the same with a calibration split", examples=3270, shifted=(3270, 3270), calibration=900),
    Case(title="100,000 examples", examples=100_000),
    Case(title="100,000 examples, calibration split", examples=100_000, calibration=10_000),
    Case(title="100,000 examples of 4 classes", examples=100_000, classes=4),
)


def main() -> None:
    """Run every case and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws")
    parser.add_argument("--only", type=int, help="the number of one case, from 0")
    arguments = parser.parse_args()
    print(f"{'case':40s} {'wall s':>8s} {'CPU s':>8s} {'peak MiB':>9s} {'report MB':>10s}")
    for case in CASES if arguments.only is None else [CASES[arguments.only]]:
        with tempfile.TemporaryDirectory() as folder:
            measure(case, Path(folder), draws=arguments.draws)


def measure(case: Case, folder: Path, *, draws: int) -> None:
    """Write the case's predictions, evaluate them in a fresh process, and print what it took."""
    main_file = write(folder, "main", case.examples, classes=case.classes, seed=0)
    options = ["--draws", str(draws), "--output", str(folder / "out")]
    for i, examples in enumerate(case.shifted):
        path = write(folder, f"shift_{i}", examples, classes=case.classes, seed=i + 1, noise=2.0 + i)
        options += ["--shift", f"shift_{i}={path}"]
    if case.calibration:
        path = write(folder, "held_out", case.calibration, classes=case.classes, seed=99)
        options += ["--calibration", str(path)]
    command = [sys.executable, "-c", CHILD, "evaluate", str(main_file), *options]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        sys.exit(run.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = (folder / "out" / "report.html").stat().st_size / 1e6
    peak = int(run.stderr.split()[-1]) / 1024
    print(f"{case.title:40s} {wall:8.1f} {cpu:8.1f} {peak:9.0f} {size:10.2f}", flush=True)


def write(folder: Path, name: str, examples: int, *, classes: int, seed: int, noise: float = 1.0) -> Path:
    """Write predictions whose members see the true logits through noise; labels follow the true probabilities."""
    rng = np.random.default_rng(seed)
    logits_NC = 2.0 * rng.normal(size=(examples, classes))
    labels_N = (logits_NC + rng.gumbel(size=logits_NC.shape)).argmax(axis=1)
    noisy_MNC = logits_NC + noise * rng.normal(size=(MEMBERS, examples, classes))
    path = folder / f"{name}.parquet"
    predictions = Predictions(
        ids=tuple(f"{name}-{i}" for i in range(examples)),
        labels=tuple(labels_N.tolist()),
        members=trained(range(42, 42 + MEMBERS)),
        logits_MNC=noisy_MNC.astype(np.float32),
    )
    write_predictions(path, predictions)
    return path


if __name__ == "__main__":
    main()
