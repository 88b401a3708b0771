"""Nothing is fitted on what is then evaluated: examples that stand in the calibration set and in a test set.

An example is the same in two sets if it has the same id and every member has the same logits for it. Equal ids alone
say nothing, for two files both count their rows; equal logits alone say little where probabilities are round numbers.
A run itself compares the texts, which is surer, before it trains (`data.repeats`).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_members
from ensemble_uq_llm.run_folder import CALIBRATION, OUT_OF_BAG
from ensemble_uq_llm.utils.text import clipped, counted


def check_none_was_trained_on(sets: Mapping[str, Predictions]) -> None:
    """Raise DataError where a set is of training rows: members are measured on examples that none of them has seen."""
    for name, predictions in sets.items():
        if predictions.left_out_MN is not None:
            raise DataError(
                f"{name}: training rows, each by the members that left it out, are there to calibrate on "
                "(--calibration) and not to evaluate: on other examples there are more members to pool"
            )


def name_of_calibration(calibration: Predictions) -> str:
    """Return what calibration examples are called: a split that nobody was trained on, or rows out of bags."""
    return CALIBRATION if calibration.left_out_MN is None else OUT_OF_BAG


def shared_rows(test: Predictions, calibration: Predictions) -> list[int]:
    """Return the rows of the calibration set's labelled examples that are test examples too.

    Raises:
        DataError: the calibration set lacks a member of the test set, or has another number of classes.
    """
    logits_MNC = of_members(calibration, test.members, name="the calibration set", others="the test set").logits_MNC
    if logits_MNC.shape[2] != test.logits_MNC.shape[2]:
        raise DataError(
            f"the calibration set has {logits_MNC.shape[2]} classes, the test set {test.logits_MNC.shape[2]}; "
            "calibrate on a set of the same task"
        )
    labelled = calibration.labelled_N.tolist()
    row_of = {example: row for row, example in enumerate(calibration.ids) if labelled[row]}
    pairs = [(row, row_of[example]) for row, example in enumerate(test.ids) if example in row_of]
    if not pairs:
        return []
    test_rows, rows = (list(each) for each in zip(*pairs, strict=True))
    same_N = (test.logits_MNC[:, test_rows] == logits_MNC[:, rows]).all(axis=(0, 2))
    return [row for row, is_same in zip(rows, same_N.tolist(), strict=True) if is_same]


def without_test_examples(calibration: Predictions, test: Predictions) -> Predictions:
    """Return the calibration set with the test's examples unlabelled, so that nothing is fitted on them; warn of them.

    Raises:
        DataError: as `shared_rows`; or every labelled example of the calibration set is among the test's.
    """
    rows = shared_rows(test, calibration)
    if not rows:
        return calibration
    first = clipped(calibration.ids[rows[0]])
    found = f"{len(rows):,} of {counted(len(test.ids), 'test example')} are calibration examples too"
    if len(rows) == int(calibration.labelled_N.sum()):
        raise DataError(
            f"{found} (the first is {first}), and no other is left to calibrate on; nothing may be fitted on the rows "
            "that are then evaluated, so calibrate on other examples"
        )
    warnings.warn(
        f"{found} (the first is {first}): they are left out of the calibration set, for nothing may be fitted on the "
        "rows that are then evaluated",
        stacklevel=2,
    )
    left_out = set(rows)
    labels = tuple(None if row in left_out else label for row, label in enumerate(calibration.labels))
    return replace(calibration, labels=labels)


def apart_from_calibration(sets: Mapping[str, Predictions], calibration: Predictions) -> Sequence[str]:
    """Return the names of the sets that share no example with the calibration set; warn of the others.

    Raises:
        DataError: as `shared_rows`.
    """
    apart = []
    for name, predictions in sets.items():
        if rows := shared_rows(predictions, calibration):
            warnings.warn(
                f"{name}: {len(rows):,} of its {counted(len(predictions.ids), 'example')} are calibration examples "
                "(the same ids and logits), so nothing is said of how well what was fitted on those does here",
                stacklevel=2,
            )
        else:
            apart.append(name)
    return apart
