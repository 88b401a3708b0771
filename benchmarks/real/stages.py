"""From a plan to its parts: rows, YAML, the ensemble, the base alone, baselines, and what is compared with what."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ensemble_uq_llm.commands.new_config import write_new
from ensemble_uq_llm.run_folder import RunFolder
from real.baselines import write_baselines
from real.mean_member import write_mean_member
from real.parts import Part
from real.passages import NEW, RTE, SEEN, write_other_rows, write_slices
from real.plans import ANSWER, Plan, plan_of
from real.rows import draw_rows, lines_of

ZERO_SHOT = "zero_shot"
"""What the base alone is called beside the heads."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where everything of a task lies."""

    folder: Path

    @property
    def majority(self) -> Path:
        """Predictions that are the training rows' class frequencies."""
        return self.folder / "baselines" / "majority.parquet"

    @property
    def majority_evaluated(self) -> Path:
        """The evaluation of these."""
        return self.folder / "majority"

    @property
    def guessing(self) -> Path:
        """What guessing earns."""
        return self.folder / "baselines" / "guessing.json"

    def run(self, who: str) -> Path:
        """The run folder of an ensemble with a head, or of the base alone, as `predict --zero-shot` names it."""
        return self.folder / ("base_zero_shot" if who == ZERO_SHOT else who)

    def mean_member(self, head: str) -> Path:
        """The mean member of an ensemble."""
        return self.folder / "mean_member" / f"{head}.json"

    def against(self, head: str, baseline: str) -> Path:
        """The comparison of an ensemble with a baseline: the ensemble is B."""
        return self.folder / "comparisons" / f"{head}_against_{baseline}.json"

    def slices(self, who: str) -> Path:
        """Predictions of parts of the test rows."""
        return self.folder / "slices" / who

    def shift(self, who: str) -> Path:
        """The evaluation of other data."""
        return self.folder / "shift" / who


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where a benchmark's data, base and results are, and how much of it is wanted."""

    data: Path
    base: Path
    out: Path
    members: int
    rows: int | None = None
    """At most so many rows to train on, and as many to test on; None as planned."""

    def places(self, plan: Plan) -> Places:
        """Where everything of a task lies."""
        return Places(folder=self.out / plan.task)

    def files(self, plan: Plan) -> tuple[Path, Path]:
        """Return the rows to train on and those to test on, written if need be."""
        train, test = self.rows or plan.train_rows, self.rows or plan.test_rows
        return (
            draw_rows(self.data / plan.train_file, train, self.out / "rows" / f"{plan.task}_train"),
            draw_rows(self.data / plan.test_file, test, self.out / "rows" / f"{plan.task}_test"),
        )


def parts_of(job: Job, plan: Plan, head: str) -> Iterator[Part]:
    """Yield the parts of a task with one head, in their order."""
    places, yaml = job.places(plan), _yaml(job, plan)
    run, base = places.run(head), places.run(ZERO_SHOT)
    ensemble, alone, majority = f"{plan.task}_{head}_run", f"{plan.task}_{ZERO_SHOT}", f"{plan.task}_majority"
    yield Part(name=ensemble, words=("run", str(yaml), *_options(job, plan.config(head), run)))
    asked = _options(job, plan.config(ANSWER), base.with_name("base"))
    yield Part(name=alone, words=("predict", str(yaml), *asked, "--zero-shot", "--evaluate"))
    yield Part(
        name=f"{majority}_written",
        words=("(class frequencies of)", *map(str, job.files(plan))),
        work=partial(write_baselines, run, places.majority, places.guessing),
    )
    yield Part(
        name=majority,
        words=("evaluate", str(places.majority), "--output", str(places.majority_evaluated), "--json"),
        output=places.folder / "baselines" / "majority.json",
        after=(f"{majority}_written",),
    )
    for baseline, path, made in ((ZERO_SHOT, base, alone), ("majority", places.majority, majority)):
        yield Part(
            name=f"{plan.task}_{head}_against_{baseline}",
            words=("compare", str(path), str(run), "--json"),
            output=places.against(head, baseline),
            after=(ensemble, made),
        )
    yield Part(
        name=f"{plan.task}_{head}_mean_member",
        words=("(the mean member of)", str(run)),
        work=partial(write_mean_member, run, places.mean_member(head)),
        after=(ensemble,),
    )
    if plan.task == "boolq":
        yield from _other_data(job, plan, head, ensemble)
        yield from _other_data(job, plan, ZERO_SHOT, alone)


def _other_data(job: Job, plan: Plan, who: str, made: str) -> Iterator[Part]:
    """Yield what shows other data to an ensemble that was trained on passages, or to the base alone."""
    places, rte = job.places(plan), plan_of(RTE)
    (train, test), (_, rte_test) = job.files(plan), job.files(rte)
    run, slices, rows = places.run(who), places.slices(who), places.folder / "rows"
    files = (str(train), str(test), str(rte_test))
    written, predicted, sliced = "boolq_other_rows", f"{plan.task}_{who}_{RTE}", f"{plan.task}_{who}_slices"
    yield Part(
        name=written,
        words=("(other rows of)", *files),
        work=partial(write_other_rows, train, test, rte_test, rows),
    )
    zero_shot = ("--zero-shot",) if who == ZERO_SHOT else ()
    yield Part(
        name=predicted,
        words=("predict", str(run), "--data", str(rows / f"{RTE}.jsonl"), "--name", RTE, *zero_shot),
        after=(written, made),
    )
    yield Part(
        name=sliced,
        words=("(slices of)", str(run), *files),
        work=partial(write_slices, run, train, test, slices),
        after=(made,),
    )
    paths = {SEEN: slices / f"{SEEN}.parquet", RTE: RunFolder(run).predictions(RTE)}
    others = {name: path for name, path in paths.items() if lines_of(rows / f"{name}.jsonl")}
    shifts = [word for name, path in others.items() for word in ("--shift", f"{name}={path}")]
    yield Part(
        name=f"{plan.task}_{who}_shift",
        words=("evaluate", str(slices / f"{NEW}.parquet"), *shifts, "--output", str(places.shift(who)), "--json"),
        output=places.shift(who).with_suffix(".json"),
        after=(predicted, sliced),
    )


def _yaml(job: Job, plan: Plan) -> Path:
    """Return the task's YAML, as `init --task` writes it for the rows that are used."""
    train, test = job.files(plan)
    yaml = job.places(plan).folder / f"{train.stem}_{test.stem}.yaml"
    if not yaml.exists():
        yaml.parent.mkdir(parents=True, exist_ok=True)
        write_new(yaml, plan.task, train=train, validation=test)
    return yaml


def _options(job: Job, settings: dict[str, Any], folder: Path) -> list[str]:
    """Return the `--set` options of settings, with the base, the members and the run folder."""
    paths = {"model_name": str(job.base), "output_dir": str(folder)}
    values = {**paths, "num_ensemble_models": job.members, **settings}
    texts = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return [word for text in texts for word in ("--set", text)]
