"""The parts of a cell in their order: members, samples of every maker, the closed form, and what is measured."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.pipeline import demo_config
from ensemble_uq_llm.run_folder import CALIBRATION, VALIDATION
from posterior_bench import chain, closed_form
from posterior_bench.methods import CLOSED_FORM, Method, sampled
from posterior_bench.world.cell_measured import write_measured
from posterior_bench.world.cells import Cell
from posterior_bench.world.worlds import TEST_SETS
from real.parts import Part

FIRST_SEED: Final = 42
CHECKED: Final = 16
"""Rows of the evaluation split that training looks at after every epoch, which nothing here needs."""

ALL_ROWS: Final = ("--set", "max_validation_examples=null")


def parts_of(cell: Cell) -> Iterator[Part]:
    """Yield the parts of a cell."""
    trained = f"{cell.name}_members"
    words = ("train", str(demo_config()), *_training(cell), chain.THEN, *_predicting(cell, cell.run, CALIBRATION))
    yield Part(name=trained, words=words, program=chain.PROGRAM)
    made = [trained]
    for method in sampled(many=cell.more_passes):
        made.append(f"{cell.name}_{method.name}")
        target = cell.made(method.name)
        words = (*_making(cell, method, target), chain.THEN, *_predicting(cell, target))
        yield Part(name=made[-1], words=words, program=chain.PROGRAM, after=(trained,))
    made.append(f"{cell.name}_{CLOSED_FORM}")
    words = (str(cell.run), str(cell.made(CLOSED_FORM)), *(f"{name}={_file(cell, name)}" for name in TEST_SETS))
    yield Part(name=made[-1], words=words, program=closed_form.PROGRAM, after=(trained,))
    yield Part(
        name=f"{cell.name}_measured",
        words=("(everything measured of)", cell.name, f"{cell.draws} draws"),
        work=partial(write_measured, cell),
        after=tuple(made),
    )


def _training(cell: Cell) -> Iterator[str]:
    """Yield the settings of a training on as many questions, and as many held out: the demo's, but for these."""
    keys: Mapping[str, Any] = {
        "train_file": str(cell.world.training_file(2 * cell.questions)),
        "validation_file": str(_file(cell, VALIDATION)),
        "max_train_examples": None,
        "max_validation_examples": CHECKED,
        "calibration_fraction": 0.5,
        # What is held out chooses each member's best epoch, too: or much of a maker's gain would be the recovery of
        # over-trained members.
        "keep": "best",
        "num_epochs": cell.epochs,
        "early_stopping_patience": max(2, cell.epochs // 4),
        "seeds": list(range(FIRST_SEED, FIRST_SEED + cell.members)),
        "output_dir": str(cell.run),
    }
    for each in (*(f"{key}={json.dumps(value)}" for key, value in keys.items()), *cell.overrides):
        yield from ("--set", each)


def _making(cell: Cell, method: Method, target: Path) -> Iterator[str]:
    assert method.maker is not None, "only makers make samples"
    yield from ("posterior", str(cell.run), "--maker", method.maker, "--output", str(target))
    yield from ("--samples", str(cell.samples(method)), *ALL_ROWS)
    if method.parents == "one":
        yield from ("--set", f"seeds=[{FIRST_SEED}]", "--set", "num_ensemble_models=null")
    for setting in cell.settings_of(method.maker):
        yield from ("--with", setting)


def _predicting(cell: Cell, run: Path, *more: str) -> Iterator[str]:
    yield from ("predict", str(run), *ALL_ROWS)
    for name in (*more, *TEST_SETS):
        yield from ("--data", name if name in (CALIBRATION, VALIDATION) else str(_file(cell, name)))


def _file(cell: Cell, name: str) -> Path:
    return cell.world.test_file(name)
