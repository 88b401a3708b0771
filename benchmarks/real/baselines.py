"""What is right without looking at the question: the training rows' class frequencies, and guessing."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm import Run
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.labels.lacking_options import LACKING
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.files import write_text


def write_baselines(run: Path, majority: Path, guessing: Path) -> None:
    """Write predictions of the training rows' class frequencies, and what guessing earns, for a run's questions."""
    opened = Run(run)
    split = Job(opened.config).split
    labels = [each.label for each in (*split.kept, *split.held_out) if each.label is not None]
    predicted = opened.predictions()
    majority.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(majority, always_the_frequencies(predicted, labels))
    write_text(guessing, json.dumps(guessed(predicted), indent=2) + "\n")


def always_the_frequencies(predicted: Predictions, train_labels: list[int]) -> Predictions:
    """Return predictions of the same examples that are the frequencies of labels, among the options that each has.

    One is added to every count, so that a class which no training row has is not impossible.
    """
    examples, classes = predicted.logits_MNC.shape[1:]
    counts_C = np.bincount(train_labels, minlength=classes) + 1.0
    logits_NC: NDArray[np.float64] = np.tile(np.log(counts_C / counts_C.sum()), (examples, 1))
    if predicted.lacks_NC is not None:
        logits_NC[predicted.lacks_NC] = LACKING
    return Predictions(
        ids=predicted.ids, labels=predicted.labels, members=(MemberId(0),), logits_MNC=logits_NC[None].copy()
    )


def guessed(predicted: Predictions) -> dict[str, float]:
    """Return the accuracy and the NLL of guessing among the options of each example."""
    examples, classes = predicted.logits_MNC.shape[1:]
    lacking_N = np.zeros(examples) if predicted.lacks_NC is None else predicted.lacks_NC.sum(axis=1)
    options_N = classes - lacking_N
    return {"accuracy": float((1 / options_N).mean()), "nll": float(np.log(options_N).mean())}
