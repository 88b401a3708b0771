"""Last-layer Laplace in closed form: every member's probabilities with its last layer's weights integrated out.

    python benchmarks/posterior_bench/closed_form.py RUN FOLDER SET=FILE ...

Writes `FOLDER/SET.parquet`, a member each, from one pass a row and member; samples need one pass each. `validation` is
the run's own set and takes no file.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.job import Job, PreparedSet
from ensemble_uq_llm.errors import EnsembleUQError
from ensemble_uq_llm.inference.members import LoadedEnsemble, load_members
from ensemble_uq_llm.models.taps.features import member_features
from ensemble_uq_llm.posteriors.laplace.laplace import head_log_probs, last_layer_of
from ensemble_uq_llm.posteriors.laplace.last_layer import LastLayerPosterior, LayerRows, fit_last_layer
from ensemble_uq_llm.posteriors.maker import LabelledRows, Parents, seeded
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.files import write_json

PROGRAM: Final = (str(Path(__file__).absolute()),)
"""What Python runs."""

SECONDS: Final = "making.json"
"""Beside the predictions: how long fitting took."""


def rows_of(prepared: PreparedSet, loaded: LoadedEnsemble) -> LabelledRows:
    """Return the tokens and labels of a set."""
    tokens = prepared.tokens(loaded.tokenizer)
    return LabelledRows(
        sequences=tokens.sequences, labels_N=tokens.labels_N, options_N=tokens.options_N, digest=prepared.digest
    )


def fit(parents: Parents) -> list[LastLayerPosterior]:
    """Return every member's posterior, as the maker `laplace` fits it."""
    rows = parents.training
    assert rows is not None, "Laplace's approximation is around what the training rows say"
    features_MNH = member_features(parents.ensemble, rows.sequences, budget=parents.budget)
    posteriors = []
    for index, features_NH in enumerate(features_MNH):
        layer = last_layer_of(parents, index, features_NH)
        log_probs_NC = head_log_probs(parents, index, features_NH, rows)
        seen = LayerRows(features_NH=layer.inputs_NH, log_probs_NC=log_probs_NC, labels_N=rows.labels_N)
        posteriors.append(fit_last_layer(seen, layer.weights_CH))
    return posteriors


def predict(
    parents: Parents, posteriors: Sequence[LastLayerPosterior], prepared: PreparedSet, rows: LabelledRows
) -> Predictions:
    """Return every member's expected probabilities of the rows of a set, as their logarithms."""
    features_MNH = member_features(parents.ensemble, rows.sequences, budget=parents.budget)
    probs_MNC = [
        posterior.expected_probs(
            last_layer_of(parents, index, features_NH).inputs_NH,
            head_log_probs(parents, index, features_NH, rows),
            generator=seeded("laplace")(parents.members[index], 1, "closed form"),
            options_N=rows.options_N,
        )
        for index, (posterior, features_NH) in enumerate(zip(posteriors, features_MNH, strict=True))
    ]
    return Predictions.from_arrays(
        probs=np.stack(probs_MNC),
        labels=[each.label for each in prepared.examples],
        ids=[each.id for each in prepared.examples],
        members=parents.members,
    )


def main(words: Sequence[str]) -> None:
    """Fit, predict every set, and write."""
    run, folder, *sets = words
    config = load_config(run)
    loaded, job, target = load_members(config), Job(config), Path(folder)
    began = time.monotonic()
    parents = Parents(ensemble=loaded.ensemble, budget=loaded.budget, training=rows_of(job.train, loaded))
    posteriors = fit(parents)
    seconds = time.monotonic() - began
    target.mkdir(parents=True, exist_ok=True)
    for each in sets:
        name, _, file = each.partition("=")
        prepared = job.file(Path(file)) if file else job.named(name)
        predicted = predict(parents, posteriors, prepared, rows_of(prepared, loaded))
        write_predictions(target / f"{name}.parquet", predicted)
    write_json(target / SECONDS, {"seconds": round(seconds, 3)})


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except EnsembleUQError as error:
        sys.exit(f"error: {error}")
