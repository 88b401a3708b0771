"""Which maker of samples is worth it: the bake-off that docs/methods.md tells of.

    python benchmarks/posteriors.py --out OUT [--sets 5] [--questions 125 500 2000] [--time-limit MINUTES]
    python benchmarks/posteriors.py --real --data DATA --base BASE [--runs RUNS] --out OUT

The first draws training sets anew from the synthetic world, whose truth is known, and makes everything of each. The
second does the same with real tasks: the ensembles of `real_tasks.py` that are in RUNS, which is only read, or its own.
What is done is recorded in OUT, so the same command goes on after a stop; with `--time-limit` it stops by itself, with
exit code 75. A maker that fails is told at the end, and the others go on. `posteriors_table.py` writes the tables.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ensemble_uq_llm.errors import EnsembleUQError, InterruptedRunError
from posterior_bench.tasks.real_parts import Bench, real_parts
from posterior_bench.world.cell_parts import parts_of
from posterior_bench.world.cells import Cell
from real.parts import FailedPart, Part, Parts, Stopped
from real.plans import PLANS

FIRST_SET = 1
"""The seed of the first training set; 0 is the demo's own."""


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/posteriors"))
    parser.add_argument("--time-limit", type=float, metavar="MINUTES", help="stop then; the same command goes on")
    parser.add_argument("--with", dest="maker_settings", action="append", default=[], metavar="MAKER.KEY=VALUE")
    world = parser.add_argument_group("the world")
    world.add_argument("--sets", type=int, default=5, help="training sets drawn anew, of every size")
    world.add_argument("--questions", type=int, nargs="+", default=[125, 500, 2000])
    world.add_argument("--members", type=int, default=10)
    world.add_argument("--test-rows", type=int, help="of every test set, to try it out")
    world.add_argument("--more-passes", action="store_true", help="makers on the ensemble also at ten times the passes")
    world.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    real = parser.add_argument_group("real tasks")
    real.add_argument("--real", action="store_true", help="real tasks in place of the world")
    real.add_argument("--data", type=Path, help="the folder with a folder a task")
    real.add_argument("--base", type=Path, help="the base: a GGUF file, or a model folder")
    real.add_argument("--runs", type=Path, help="the --out of real_tasks.py, whose ensembles are taken")
    real.add_argument("--task", action="append", choices=[plan.task for plan in PLANS if not plan.is_choice])
    real.add_argument("--rows", type=int, help="at most so many rows to train and to test on, to try it out")
    return parser


def world_parts(arguments: argparse.Namespace) -> Iterator[Part]:
    """Yield the parts of all cells: a whole training set of every size before the next, so that a stop leaves pairs."""
    for seed in range(FIRST_SET, FIRST_SET + arguments.sets):
        for questions in sorted(set(arguments.questions)):
            yield from parts_of(
                Cell(
                    out=arguments.out.absolute(),
                    seed=seed,
                    questions=questions,
                    members=arguments.members,
                    test_rows=arguments.test_rows,
                    more_passes=arguments.more_passes,
                    overrides=tuple(arguments.overrides),
                    maker_settings=tuple(arguments.maker_settings),
                )
            )


def do_all(parts: Parts, todo: Iterator[Part]) -> list[str]:
    """Do what is not done yet, and return what failed; what needs a part that failed is left out.

    Raises:
        Stopped: the time is up, or somebody asked.
    """
    failed: dict[str, str] = {}
    for part in todo:
        if part.after and part.after[0] in failed:  # the members, which everything else is made of
            continue
        try:
            parts.do(part)
        except FailedPart as error:
            failed[part.name] = str(error)
    return [f"{name}: {error}" for name, error in failed.items()]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is not done yet, and return the exit code."""
    parser = options()
    arguments = parser.parse_args(argv)
    if arguments.real and (arguments.data is None or arguments.base is None):
        parser.error("--real: give --data and --base, too")
    limit = None if arguments.time_limit is None else 60 * arguments.time_limit
    parts = Parts(arguments.out.absolute() / "parts", seconds=limit)
    try:
        todo = real_parts(Bench.of(arguments)) if arguments.real else world_parts(arguments)
        failed = do_all(parts, todo)
    except Stopped:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return InterruptedRunError.exit_code
    except EnsembleUQError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for each in failed:
        print(f"failed: {each}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
