"""From a plan to its parts: rows, YAML, the ensemble, the base alone, and the comparison of both."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_uq_llm.commands.new_config import write_new
from real.parts import Part
from real.plans import ANSWER, Plan
from real.rows import draw_rows


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where a benchmark's data, base and results are, and how much of it is wanted."""

    data: Path
    base: Path
    out: Path
    members: int
    rows: int | None = None
    """At most so many rows to train on, and as many to test on; None as planned."""

    def folder(self, plan: Plan) -> Path:
        """Where everything of a task lies."""
        return self.out / plan.task

    def run(self, plan: Plan, head: str) -> Path:
        """The run folder of an ensemble."""
        return self.folder(plan) / head

    def zero_shot(self, plan: Plan) -> Path:
        """The run folder of the base alone, as `predict --zero-shot` names it."""
        return self.folder(plan) / "base_zero_shot"


def parts_of(job: Job, plan: Plan, head: str) -> Iterator[Part]:
    """Yield the parts of a task with one head, in their order."""
    yaml = _yaml(job, plan)
    run, base = job.run(plan, head), job.zero_shot(plan)
    yield Part(name=f"{plan.task}_{head}_run", words=("run", str(yaml), *_options(job, plan.config(head), run)))
    asked = _options(job, plan.config(ANSWER), base.with_name("base"))
    yield Part(name=f"{plan.task}_zero_shot", words=("predict", str(yaml), *asked, "--zero-shot", "--evaluate"))
    yield Part(
        name=f"{plan.task}_{head}_against_zero_shot",
        words=("compare", str(base), str(run), "--json"),
        output=job.folder(plan) / "comparisons" / f"{head}_against_zero_shot.json",
    )


def _yaml(job: Job, plan: Plan) -> Path:
    """Return the task's YAML, as `init --task` writes it for the rows that are used."""
    rows = job.out / "rows"
    train, test = job.rows or plan.train_rows, job.rows or plan.test_rows
    train_file = draw_rows(job.data / plan.train_file, train, rows / f"{plan.task}_train")
    test_file = draw_rows(job.data / plan.test_file, test, rows / f"{plan.task}_test")
    yaml = job.folder(plan) / f"{train_file.stem}_{test_file.stem}.yaml"
    if not yaml.exists():
        yaml.parent.mkdir(parents=True, exist_ok=True)
        write_new(yaml, plan.task, train=train_file, validation=test_file)
    return yaml


def _options(job: Job, settings: dict[str, Any], folder: Path) -> list[str]:
    """Return the `--set` options of settings, with the base, the members and the run folder."""
    paths = {"model_name": str(job.base), "output_dir": str(folder)}
    values = {**paths, "num_ensemble_models": job.members, **settings}
    texts = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return [word for text in texts for word in ("--set", text)]
