"""Single examples worth reading: the most uncertain ones and the most confident mistakes, with every vote."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.inference.evaluate import Evaluation
from ensemble_uq_llm.inference.uncertainty import log_softmax


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What one member said about one example."""

    seed: int
    prediction: int
    probability: float
    """Its probability of its own prediction."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One example as a reader wants to see it."""

    id: str
    label: int | None
    prediction: int
    confidence: float
    entropy: float
    mutual_information: float
    votes: tuple[Vote, ...]


def most_uncertain(evaluation: Evaluation, *, count: int) -> list[Case]:
    """Return the examples of the highest mutual information; of a single member, of the highest entropy."""
    uncertainty = evaluation.uncertainty
    several = len(evaluation.predictions.seeds) > 1
    score_N = uncertainty.mutual_information_N if several else uncertainty.entropy_N
    return _cases(evaluation, np.argsort(-score_N, kind="stable")[:count])


def most_confidently_wrong(evaluation: Evaluation, *, count: int) -> list[Case]:
    """Return the labelled examples that the ensemble got wrong with the highest confidence."""
    predictions, uncertainty = evaluation.predictions, evaluation.uncertainty
    wrong_N = predictions.labelled_N & (uncertainty.prediction_N != predictions.labels_N)
    order_N = np.argsort(-uncertainty.confidence_N, kind="stable")
    return _cases(evaluation, order_N[wrong_N[order_N]][:count])


def read_texts(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Return the texts of these examples from a JSON-lines file of `id` and `text`; none if there is no file.

    Raises:
        DataError: a line is no such object; the message names file and line.
    """
    if not path.exists():
        return {}
    wanted, texts = set(ids), {}
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
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


def _cases(evaluation: Evaluation, chosen: NDArray[np.intp] | Sequence[int]) -> list[Case]:
    predictions, uncertainty = evaluation.predictions, evaluation.uncertainty
    probs_MNC = np.exp(log_softmax(predictions.logits_MNC[:, chosen]))
    return [
        Case(
            id=predictions.ids[n],
            label=predictions.labels[n],
            prediction=int(uncertainty.prediction_N[n]),
            confidence=float(uncertainty.confidence_N[n]),
            entropy=float(uncertainty.entropy_N[n]),
            mutual_information=float(uncertainty.mutual_information_N[n]),
            votes=tuple(
                Vote(seed=seed, prediction=int(probs_C.argmax()), probability=float(probs_C.max()))
                for seed, probs_C in zip(predictions.seeds, probs_MNC[:, i], strict=True)
            ),
        )
        for i, n in enumerate(int(n) for n in chosen)
    ]
