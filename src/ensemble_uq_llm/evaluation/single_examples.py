"""Single examples worth reading: the most uncertain ones and the most confident mistakes, with every vote."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.records import ExamplesToRead, SingleExample, Vote
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, log_softmax
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.ties import most_probable, snapped
from ensemble_uq_llm.storage.guard import read_guarded

LISTED = 20
"""Examples in each list."""


def most_uncertain(
    predictions: Predictions, uncertainty: Uncertainty, *, count: int = LISTED
) -> tuple[SingleExample, ...]:
    """Return the examples of the highest mutual information; of a single member, of the highest entropy."""
    several = len(predictions.members) > 1
    score_N = uncertainty.mutual_information_N if several else uncertainty.entropy_N
    return _examples(predictions, uncertainty, np.argsort(-snapped(score_N), kind="stable")[:count])


def most_confidently_wrong(
    predictions: Predictions, uncertainty: Uncertainty, *, count: int = LISTED
) -> tuple[SingleExample, ...]:
    """Return the labelled examples that the ensemble got wrong with the highest confidence."""
    wrong_N = predictions.labelled_N & (uncertainty.prediction_N != predictions.labels_N)
    order_N = np.argsort(-snapped(uncertainty.confidence_N), kind="stable")
    return _examples(predictions, uncertainty, order_N[wrong_N[order_N]][:count])


def examples_to_read(measured: Measured, *, count: int = LISTED) -> ExamplesToRead:
    """Return both lists."""
    parts = measured.predictions, measured.uncertainty
    return ExamplesToRead(
        most_uncertain=most_uncertain(*parts, count=count),
        most_confidently_wrong=most_confidently_wrong(*parts, count=count),
    )


def read_texts(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Return the texts of these examples from a JSON-lines file of `id` and `text`; none if there is no file.

    Raises:
        DataError: a line is no such object; the message names file and line.
        IntegrityError: it is a run's file, and not as it was written.
    """
    try:
        content = read_guarded(path)
    except FileNotFoundError:
        return {}
    wanted, texts = set(ids), {}
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            record = json.loads(line)
            example, text = str(record["id"]), str(record["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number}: this is no JSON object with id and text ({error}); predict the set again"
            ) from error
        if example in wanted:
            texts[example] = text
    return texts


def _examples(
    predictions: Predictions, uncertainty: Uncertainty, chosen: NDArray[np.intp]
) -> tuple[SingleExample, ...]:
    log_probs_MNC = log_softmax(predictions.logits_MNC[:, chosen])
    return tuple(
        SingleExample(
            id=predictions.ids[n],
            label=predictions.labels[n],
            prediction=int(uncertainty.prediction_N[n]),
            confidence=float(uncertainty.confidence_N[n]),
            entropy=float(uncertainty.entropy_N[n]),
            mutual_information=float(uncertainty.mutual_information_N[n]),
            votes=tuple(
                Vote(
                    member=member,
                    prediction=int(most_probable(log_probs_C)),
                    probability=float(np.exp(log_probs_C).max()),
                )
                for member, log_probs_C in zip(predictions.members, log_probs_MNC[:, i], strict=True)
            ),
        )
        for i, n in enumerate(chosen.tolist())
    )
