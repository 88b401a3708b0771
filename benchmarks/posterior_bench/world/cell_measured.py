"""What is measured of a cell: every method of which there are predictions, in one JSON."""

import json
from collections.abc import Iterator
from typing import Any

from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.run_folder import CALIBRATION, RunFolder
from ensemble_uq_llm.samples.posterior_record import posterior_of
from ensemble_uq_llm.utils.files import write_text
from posterior_bench import closed_form
from posterior_bench.answers import Sets, of_one, read_sets, with_temperature
from posterior_bench.measuring import Numbers, mean_of, measure, with_truth
from posterior_bench.methods import (
    CLOSED_FORM,
    ENSEMBLE,
    ENSEMBLE_TEMPERATURE,
    FIRST,
    FIRST_TEMPERATURE,
    MEMBER,
    MEMBER_TEMPERATURE,
    sampled,
)
from posterior_bench.world.cells import Cell
from posterior_bench.world.worlds import TEST_SETS


def write_measured(cell: Cell) -> None:
    """Measure, and write the JSON; a method of which there are no predictions is absent."""
    found = dict(_baselines(cell)) | dict(_closed_form(cell)) | dict(_made(cell))
    record = {
        "questions": cell.questions,
        "seed": cell.seed,
        "members": cell.members,
        "methods": found,
        "cost": _cost(cell),
    }
    cell.measured.parent.mkdir(parents=True, exist_ok=True)
    write_text(cell.measured, json.dumps(record, indent=1) + "\n")


def _baselines(cell: Cell) -> Iterator[tuple[str, Numbers]]:
    """Yield the members one by one and together, as they are and after a temperature."""
    run = RunFolder(cell.run)
    plain = with_truth(read_sets(TEST_SETS, run.predictions), cell.world)
    calibration = read_predictions(run.predictions(CALIBRATION))
    singles = [of_one(plain, member) for member in next(iter(plain.values())).members]
    scaled = with_temperature(plain, calibration)
    raw = [measure(each, draws=cell.draws) for each in singles]
    cooled = [measure(with_temperature(each, calibration), draws=cell.draws) for each in singles]
    yield from ((MEMBER.name, mean_of(raw)), (MEMBER_TEMPERATURE.name, mean_of(cooled)))
    yield from ((FIRST.name, raw[0]), (FIRST_TEMPERATURE.name, cooled[0]))
    yield ENSEMBLE.name, measure(plain, draws=cell.draws)
    yield ENSEMBLE_TEMPERATURE.name, measure(scaled, draws=cell.draws)


def _closed_form(cell: Cell) -> Iterator[tuple[str, Numbers]]:
    folder = cell.made(CLOSED_FORM)
    if not (folder / closed_form.SECONDS).exists():
        return
    sets = with_truth(read_sets(TEST_SETS, lambda name: folder / f"{name}.parquet"), cell.world)
    members = next(iter(sets.values())).members
    yield f"{CLOSED_FORM}_one", mean_of([measure(of_one(sets, member), draws=cell.draws) for member in members])
    yield f"{CLOSED_FORM}_all", measure(sets, draws=cell.draws)


def _made(cell: Cell) -> Iterator[tuple[str, Numbers]]:
    for method in sampled(many=True):
        sets = _sets_of(cell, method.name)
        if sets is not None:
            yield method.name, measure(with_truth(sets, cell.world), draws=cell.draws)


def _sets_of(cell: Cell, name: str) -> Sets | None:
    run = RunFolder(cell.made(name))
    if not all(run.predictions(each).exists() for each in TEST_SETS):
        return None
    return read_sets(TEST_SETS, run.predictions)


def _cost(cell: Cell) -> dict[str, Any]:
    """Return the seconds of training and of making, by what was made."""
    stages = RunFolder(cell.run).record()["stages"]
    seconds = {"members": sum(each["seconds"] for each in stages if each["stage"] == "train")}
    for method in sampled(many=True):
        record = posterior_of(RunFolder(cell.made(method.name)).record())
        if record is not None:
            seconds[method.name] = record.seconds
    fitted = cell.made(CLOSED_FORM) / closed_form.SECONDS
    if fitted.exists():
        seconds[CLOSED_FORM] = json.loads(fitted.read_text(encoding="utf-8"))["seconds"]
    return {"seconds": seconds}
