"""An ensemble, its members, and the base alone on real tasks: what stands in docs/results.md.

    python benchmarks/real_tasks.py --data DATA --base SmolLM2-135M-Instruct.Q4_1.gguf --out OUT [--task sst2]

DATA holds the tasks' files, as `benchmarks/real/plans.py` names them; OUT gets rows, YAMLs and ordinary run folders.
What is done is recorded there, so the same command goes on after a stop, and finished parts are skipped. With
`--time-limit` it stops by itself, with exit code 75. `real_tasks_table.py` writes the tables.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ensemble_uq_llm.errors import EnsembleUQError, InterruptedRunError
from real.parts import FailedPart, Parts, Stopped
from real.plans import ANSWER, CLASSIFICATION, PLANS, Plan
from real.stages import Job, parts_of


def chosen(tasks: Sequence[str] | None, heads: Sequence[str] | None) -> list[tuple[Plan, str]]:
    """Return the tasks and heads that are asked for, in the order of the plans."""
    return [
        (plan, head)
        for plan in PLANS
        for head in plan.heads
        if plan.task in (tasks or [plan.task]) and head in (heads or [head])
    ]


def show_list(parts: Parts) -> None:
    """Print every task with its rows, and which of its ensembles are trained."""
    for plan, head in chosen(None, None):
        done = "done" if parts.record(f"{plan.task}_{head}_run") else ""
        test = "all" if plan.test_rows is None else f"{plan.test_rows:,}"
        print(f"{plan.task:15}{head:16}{plan.train_rows:>6,} to train, {test:>5} of {plan.split:40}{done}")


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with a folder a task")
    parser.add_argument("--base", type=Path, help="the base: a GGUF file, or a model folder")
    parser.add_argument("--out", type=Path, default=Path("runs/real_tasks"))
    parser.add_argument("--task", action="append", choices=[plan.task for plan in PLANS], help="repeatable; else all")
    parser.add_argument("--head", action="append", choices=[CLASSIFICATION, ANSWER], help="repeatable; else all")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--rows", type=int, help="at most so many rows to train and to test on, to try it out")
    parser.add_argument("--time-limit", type=float, metavar="MINUTES", help="stop then; the same command goes on")
    parser.add_argument("--list", action="store_true", help="say what there is, and what is done")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is not done yet, and return the exit code."""
    parser = options()
    arguments = parser.parse_args(argv)
    out = arguments.out.absolute()
    limit = None if arguments.time_limit is None else 60 * arguments.time_limit
    parts = Parts(out / "parts", seconds=limit)
    if arguments.list:
        show_list(parts)
        return 0
    if arguments.data is None or arguments.base is None:
        parser.error("give --data and --base, or --list")
    data, base = arguments.data.absolute(), arguments.base.absolute()
    job = Job(data=data, base=base, out=out, members=arguments.members, rows=arguments.rows)
    try:
        for plan, head in chosen(arguments.task, arguments.head):
            for part in parts_of(job, plan, head):
                parts.do(part)
    except Stopped:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return InterruptedRunError.exit_code
    except (EnsembleUQError, FailedPart) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
