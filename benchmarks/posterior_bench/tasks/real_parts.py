"""The makers on the ensembles of real tasks: trained ones that are given, which are only read, or the bench's own."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from posterior_bench import chain, closed_form
from posterior_bench.methods import CLOSED_FORM, sampled
from posterior_bench.tasks.real_measured import RealCell, write_real_measured
from real.parts import Part
from real.plans import CLASSIFICATION, plan_of
from real.stages import Job, Places
from real.stages import parts_of as task_parts

TASKS: Final = ("sst2", "ag_news")
"""Without `--task`: two tasks that the base learns, of two and of four classes."""

OWN_SETTINGS: Final = {"swag": ("epochs=1",)}
"""The tasks train for one epoch; so long trains `swag` on."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is asked for of real tasks."""

    job: Job
    tasks: tuple[str, ...]
    runs: Path | None
    maker_settings: tuple[str, ...]

    @staticmethod
    def of(arguments: argparse.Namespace) -> "Bench":
        """Return what the command line asks for; as many members as `real_tasks.py` trains."""
        paths = {name: getattr(arguments, name).absolute() for name in ("data", "base", "out")}
        return Bench(
            job=Job(**paths, members=4, rows=arguments.rows),
            tasks=tuple(arguments.task or TASKS),
            runs=None if arguments.runs is None else arguments.runs.absolute(),
            maker_settings=tuple(arguments.maker_settings),
        )


def real_parts(bench: Bench) -> Iterator[Part]:
    """Yield the parts of all tasks."""
    for task in bench.tasks:
        yield from _parts_of(bench, task)


def _parts_of(bench: Bench, task: str) -> Iterator[Part]:
    plan = plan_of(task)
    given = None if bench.runs is None else Places(folder=bench.runs / task).run(CLASSIFICATION)
    trained: tuple[str, ...] = ()
    if given is None or not RunFolder(given).config.exists():
        own = next(task_parts(bench.job, plan, CLASSIFICATION))
        yield own
        given, trained = bench.job.places(plan).run(CLASSIFICATION), (own.name,)
    members = RunFolder(given).members()
    cell = RealCell(out=bench.job.out, task=task, run=given)
    made = list(trained)
    for method in sampled():
        samples = len(members) if method.parents == "one" else 1
        words = ["posterior", str(given), "--maker", str(method.maker), "--output", str(cell.made(method.name))]
        words += ["--samples", str(samples)]
        if method.parents == "one":
            words += ["--set", f"seeds=[{members[0].seed}]", "--set", "num_ensemble_models=null"]
        asked = [each.partition(".")[2] for each in bench.maker_settings if each.startswith(f"{method.maker}.")]
        for setting in asked or OWN_SETTINGS.get(str(method.maker), ()):
            words += ["--with", setting]
        words += [chain.THEN, "predict", str(cell.made(method.name)), "--data", VALIDATION]
        made.append(f"{task}_{method.name}")
        yield Part(name=made[-1], words=tuple(words), program=chain.PROGRAM, after=trained)
    made.append(f"{task}_{CLOSED_FORM}")
    words = [str(given), str(cell.made(CLOSED_FORM)), VALIDATION]
    yield Part(name=made[-1], words=tuple(words), program=closed_form.PROGRAM, after=trained)
    yield Part(
        name=f"{task}_makers_measured",
        words=("(everything measured of)", task, str(given)),
        work=partial(write_real_measured, cell),
        after=tuple(made),
    )
