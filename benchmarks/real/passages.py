"""Other data for the ensemble trained on BoolQ: RTE's rows as its questions, and its own by whose passage was seen."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from ensemble_uq_llm import Run
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from real.rows import as_boolq, lines_of, rows_of, split_by_passage, write_lines

NEW, SEEN, RTE = "new_passage", "seen_passage", "rte"
"""The sets: BoolQ's test rows whose passage no training row has, those whose passage one has, and RTE's rows."""

SHIFTED: Final = (SEEN, RTE)
"""What is compared with the first."""


def write_other_rows(train: Path, test: Path, rte: Path, folder: Path) -> None:
    """Write the rows of the three sets, `NAME.jsonl` each."""
    lines = lines_of(test)
    for name, numbers in zip((NEW, SEEN), split_by_passage(rows_of(train), rows_of(test)), strict=True):
        write_lines(folder / f"{name}.jsonl", [lines[n] for n in numbers])
    write_lines(folder / f"{RTE}.jsonl", [json.dumps(as_boolq(row), ensure_ascii=False) for row in rows_of(rte)])


def write_slices(run: Path, train: Path, test: Path, folder: Path) -> None:
    """Write a run's predictions of its test rows in two parts, by whether the passage was trained on.

    A part without rows, as of few training rows, has no file.
    """
    predicted = Run(run).predictions()
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers in zip((NEW, SEEN), split_by_passage(rows_of(train), rows_of(test)), strict=True):
        if numbers:
            write_predictions(folder / f"{name}.parquet", part_of(predicted, numbers, name))


def part_of(predicted: Predictions, numbers: list[int], name: str) -> Predictions:
    """Return the predictions of some examples, by their number in the file that was predicted."""
    rows = np.array(numbers, dtype=np.int64)
    mass_MN, origin = predicted.answer_mass_MN, predicted.origin
    if origin is not None:  # of the same members, and of other data
        origin = replace(origin, data=sha256(f"{name} of {origin.data}".encode()).hexdigest(), source=None)
    return replace(
        predicted,
        ids=tuple(predicted.ids[n] for n in numbers),
        labels=tuple(predicted.labels[n] for n in numbers),
        logits_MNC=np.ascontiguousarray(predicted.logits_MNC[:, rows]),
        answer_mass_MN=None if mass_MN is None else mass_MN[:, rows],
        origin=origin,
    )
