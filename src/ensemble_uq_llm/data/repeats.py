"""Texts that stand in more than one set of a run: what a model has seen, or what was fitted on, tells nothing new.

Examples are the same here if their prompts are, letter for letter; ids say nothing: two files both count their rows.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prompts import Template
from ensemble_uq_llm.utils.text import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How many examples of a set have the text of an example in another."""

    test_in_training: int
    """Evaluation examples that the members were trained on; they are kept."""
    calibration_in_training: int
    """Calibration examples that the members were trained on; they are kept, as in the evaluation split."""
    calibration_in_test: int
    """Calibration examples that would be evaluated on; they are left out of the calibration split."""


def texts_of(examples: Iterable[Example], template: Template) -> set[str]:
    """Return the prompts of examples."""
    return {template.render(example.fields) for example in examples}


def others_than(examples: Sequence[Example], texts: set[str], template: Template) -> list[Example]:
    """Return the examples whose prompts are not among these texts, in their order."""
    return [example for example in examples if template.render(example.fields) not in texts]


def count_repeats(
    *, train: Sequence[Example], held_out: Sequence[Example], test: Sequence[Example], template: Template
) -> Repeats:
    """Count the repeated texts among what is trained on, what is held out for calibration, and what is evaluated on."""
    seen, evaluated = texts_of(train, template), texts_of(test, template)
    calibration = others_than(held_out, evaluated, template)
    return Repeats(
        test_in_training=len(test) - len(others_than(test, seen, template)),
        calibration_in_training=len(calibration) - len(others_than(calibration, seen, template)),
        calibration_in_test=len(held_out) - len(calibration),
    )


def warn_of_seen(repeats: Repeats, *, test: int, calibration: int) -> None:
    """Warn of evaluation and calibration examples that the members are trained on; the sets' sizes are given."""
    if repeats.test_in_training:
        warnings.warn(
            f"{repeats.test_in_training:,} of {counted(test, 'evaluation example')} repeat the text of a training "
            "example: on them the members remember, and every metric looks better than it is on new texts; "
            "keep each text in one file only",
            stacklevel=3,
        )
    if repeats.calibration_in_training:
        warnings.warn(
            f"{repeats.calibration_in_training:,} of {counted(calibration, 'calibration example')} repeat the text of "
            "a training example: what is fitted on them is too confident about new texts; give each text once",
            stacklevel=3,
        )
