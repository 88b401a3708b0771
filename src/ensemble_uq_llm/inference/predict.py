"""Examples in, every member's logits out, and onto disk as the run's predictions."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prompts import parse_template
from ensemble_uq_llm.inference.members import LoadedEnsemble
from ensemble_uq_llm.models.logits import Tell, member_logits
from ensemble_uq_llm.models.memory import naming_memory
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.device import describe_device
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.provenance import record_stage


@naming_memory("prediction", "lower tokens_per_pass or max_length", "set use_bf16: true")
def predict_examples(loaded: LoadedEnsemble, prepared: PreparedSet, *, tell: Tell | None = None) -> Predictions:
    """Return every member's logits on the examples of a set, labelled or not, in their order.

    `tell` hears how far it is.

    Raises:
        DataError: a prompt that cannot be cut to `max_length`.
    """
    tokens = prepared.tokens(loaded.tokenizer)
    truths = [example.true_probs for example in prepared.examples]
    known = [truth for truth in truths if truth is not None]
    return Predictions(
        ids=tokens.ids,
        labels=tuple(example.label for example in prepared.examples),
        members=loaded.ensemble.members,
        logits_MNC=member_logits(loaded.ensemble, tokens.sequences, budget=loaded.budget, tell=tell),
        true_probs_NC=np.array(known) if known and len(known) == len(truths) else None,
    )


def prediction_settings(config: Config) -> dict[str, Any]:
    """Return the keys of a configuration that turn an example into numbers, beside the members and their base."""
    return config.model_dump(mode="json", include={"prompt_template", "max_length", "cut_column", "use_bf16"})


def write_set(
    loaded: LoadedEnsemble,
    prepared: PreparedSet,
    config: Config,
    *,
    name: str,
    source: str | None = None,
    tell: Tell | None = None,
) -> Path:
    """Predict a set and write it to the run folder as `predictions/NAME.parquet`, its texts beside it.

    `source` says what it is: the name of a set, or the absolute path of a data file; `tell` hears
    how far the prediction is.

    Raises:
        DataError: as `predict_examples`. ConfigError: `name` cannot be a file name.
    """
    started = time.monotonic()
    folder, examples = RunFolder(config.output_dir), prepared.examples
    path = folder.predictions(name)
    origin = Origin(
        weights=loaded.weights,
        base=loaded.base_digest,
        data=prepared.digest,
        foreign=loaded.foreign,
        source=source,
        settings=prediction_settings(config),
        scales=loaded.scales,
    )
    write_predictions(path, replace(predict_examples(loaded, prepared, tell=tell), origin=origin))
    template = parse_template(config.prompt_template)
    lines = (json.dumps({"id": e.id, "text": template.render(e.fields)}, ensure_ascii=False) for e in examples)
    write_text(folder.examples(name), "\n".join(lines) + "\n")
    record_stage(
        folder.run_record,
        "predict",
        seconds=time.monotonic() - started,
        name=name,
        examples=len(examples),
        members=len(loaded.ensemble.members),
        device=describe_device(next(loaded.ensemble.parameters()).device),
        data_digest=prepared.digest,
    )
    return path
