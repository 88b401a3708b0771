"""The predictions behind a row of the table: of all members, of one, after a temperature, or of a maker's samples."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ensemble_uq_llm.evaluation.decisions.disjoint import without_test_examples
from ensemble_uq_llm.evaluation.decisions.temperature import fit_temperatures
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.ordering import in_order
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_labelled, of_members
from ensemble_uq_llm.run_folder import VALIDATION

Sets: TypeAlias = Mapping[str, Predictions]
"""By the sets' names, the one in distribution first."""

Read: TypeAlias = Callable[[str], Path]
"""Where the predictions of a set lie."""


def read_sets(names: tuple[str, ...], path_of: Read) -> Sets:
    """Return the predictions of these sets, examples and members in the order of their names."""
    return {name: in_order(read_predictions(path_of(name)))[0] for name in names}


def of_one(sets: Sets, member: MemberId) -> Sets:
    """Return what one member says."""
    return {name: of_members(each, [member], name=name, others="the run") for name, each in sets.items()}


def with_temperature(sets: Sets, calibration: Predictions) -> Sets:
    """Return the pooled probabilities after one temperature, fitted on the calibration split, as of a single member.

    That is what the evaluation reports as "after" of the pooled probability, as predictions that can be evaluated in
    every respect.
    """
    members = sets[VALIDATION].members
    known = of_labelled(without_test_examples(calibration, sets[VALIDATION]))
    known = of_members(known, members, name="the calibration split", others="the run")
    fitted = fit_temperatures(known.logits_MNC, known.labels_N, members)
    return {
        name: replace(
            each, members=members[:1], logits_MNC=fitted.apply(each.logits_MNC)["pooled"][None], answer_mass_MN=None
        )
        for name, each in sets.items()
    }
