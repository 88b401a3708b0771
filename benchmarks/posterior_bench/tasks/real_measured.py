"""What is measured of a real task: one training set, so the intervals are those of its test rows, as the house's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.evaluation.comparison import compare_predictions
from ensemble_uq_llm.evaluation.evaluate import evaluate
from ensemble_uq_llm.evaluation.scores import BASELINE
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_labelled
from ensemble_uq_llm.run_folder import CALIBRATION, VALIDATION, RunFolder
from ensemble_uq_llm.samples.posterior_record import posterior_of
from ensemble_uq_llm.statistics.bootstrap import DRAWS
from ensemble_uq_llm.utils.files import write_text
from posterior_bench import closed_form
from posterior_bench.answers import of_one, read_sets, with_temperature
from posterior_bench.methods import CLOSED_FORM, ENSEMBLE, ENSEMBLE_TEMPERATURE, FIRST, FIRST_TEMPERATURE, sampled
from real.mean_member import mean_member

COMPARED: Final = ("nll", "brier", "ece", "aurc")


@dataclass(frozen=True, kw_only=True)
class RealCell:
    """A task's ensemble, and where everything made of it lies."""

    out: Path
    task: str
    run: Path
    draws: int = DRAWS

    @property
    def measured(self) -> Path:
        """What was measured of it."""
        return self.out / "measured" / f"{self.task}.json"

    def made(self, name: str) -> Path:
        """Return the folder of what was made, such as a maker's samples."""
        return self.out / self.task / "makers" / name


def write_real_measured(cell: RealCell) -> None:
    """Measure, and write the JSON; a method of which there are no predictions is absent."""
    answers = dict(_answers(cell))
    run = RunFolder(cell.run)
    plain, calibration = (read_predictions(run.predictions(name)) for name in (VALIDATION, CALIBRATION))
    baselines = (FIRST_TEMPERATURE.name, ENSEMBLE_TEMPERATURE.name)
    record = {
        "task": cell.task,
        "rows": len(plain.ids),
        "members": len(plain.members),
        "methods": {name: _numbers(each, cell.draws) for name, each in answers.items()},
        "mean_member": mean_member(of_labelled(plain), of_labelled(calibration), draws=cell.draws),
        "against": {
            baseline: {
                name: _differences(answers[baseline], each, cell.draws)
                for name, each in answers.items()
                if name != baseline
            }
            for baseline in baselines
        },
        "seconds": dict(_seconds(cell)),
    }
    cell.measured.parent.mkdir(parents=True, exist_ok=True)
    write_text(cell.measured, json.dumps(record, indent=1) + "\n")


def _answers(cell: RealCell) -> Iterator[tuple[str, Predictions]]:
    run = RunFolder(cell.run)
    plain = read_sets((VALIDATION,), run.predictions)
    calibration = read_predictions(run.predictions(CALIBRATION))
    first = of_one(plain, min(plain[VALIDATION].members))
    for method, sets in ((FIRST, first), (ENSEMBLE, plain)):
        yield method.name, sets[VALIDATION]
        yield f"{method.name}_temperature", with_temperature(sets, calibration)[VALIDATION]
    for method in sampled():
        path = RunFolder(cell.made(method.name)).predictions(VALIDATION)
        if path.exists():
            yield method.name, read_predictions(path)
    path = cell.made(CLOSED_FORM) / f"{VALIDATION}.parquet"
    if path.exists():
        integrated = {VALIDATION: read_predictions(path)}
        first_member = min(integrated[VALIDATION].members)
        yield f"{CLOSED_FORM}_one", of_one(integrated, first_member)[VALIDATION]
        yield f"{CLOSED_FORM}_all", integrated[VALIDATION]


def _numbers(predictions: Predictions, draws: int) -> dict[str, Any]:
    metrics = evaluate(predictions, draws=draws).metrics
    quality = {name: asdict(metrics.ensemble[name]) for name in ("accuracy", "nll", "brier", "ece")}
    found: dict[str, Any] = {**quality, "aurc": asdict(metrics.selective[BASELINE].numbers["aurc"])}
    # How well each score finds the mistakes, in full in the JSON.
    found["selective"] = {
        score: {name: asdict(each) for name, each in selective.numbers.items()}
        for score, selective in metrics.selective.items()
    }
    return found


def _differences(baseline: Predictions, ours: Predictions, draws: int) -> Mapping[str, Any]:
    compared = compare_predictions(baseline, ours, draws=draws)
    return {name: asdict(compared.metrics[name].difference) for name in COMPARED}


def _seconds(cell: RealCell) -> Iterator[tuple[str, float]]:
    stages = RunFolder(cell.run).record()["stages"]
    yield "members", sum(each["seconds"] for each in stages if each["stage"] == "train")
    for method in sampled():
        record = posterior_of(RunFolder(cell.made(method.name)).record())
        if record is not None:
            yield method.name, record.seconds
    fitted = cell.made(CLOSED_FORM) / closed_form.SECONDS
    if fitted.exists():
        yield CLOSED_FORM, json.loads(fitted.read_text(encoding="utf-8"))["seconds"]
