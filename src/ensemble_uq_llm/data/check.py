"""What `validate` can say about a configuration's data without torch: prompt, local files, counts, schedule."""

import warnings
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.datasets import check_classes, find_dataset
from ensemble_uq_llm.data.prepare import class_weights, load_training, load_validation, split_held_out
from ensemble_uq_llm.data.prompts import default_cut_column, parse_template
from ensemble_uq_llm.errors import ConfigError, DataError


def check(config: Config) -> dict[str, Any]:
    """Return what the configuration amounts to; data on the hub are not fetched.

    Warns where the warm-up outlasts training.

    Raises:
        ConfigError: every problem of the prompt and the data together, one a line; DataError if only data are bad.
    """
    problems: list[ConfigError | DataError] = []
    facts: dict[str, Any] = {"members": len(config.member_seeds)}
    for name, look in (("prompt", _prompt), ("train", _train), ("validation", _validation)):
        try:
            facts |= look(config)
        except (ConfigError, DataError) as error:
            problems.append(error)
            facts[name] = "unusable"
    if problems:
        kind = ConfigError if any(isinstance(problem, ConfigError) for problem in problems) else DataError
        raise kind("\n".join(dict.fromkeys(map(str, problems))))
    return facts


def warn_if_warmup_outlasts(config: Config, examples: int) -> int:
    """Return the optimiser steps of training on so many examples; warn if the learning rate never reaches its peak."""
    steps = config.optimizer_steps(examples)
    if config.warmup_steps >= steps:
        warnings.warn(
            f"warmup_steps: {config.warmup_steps} warm-up steps, and training has {steps}: the learning rate only "
            f"rises to {(steps - 1) / max(1, config.warmup_steps):.0%} of learning_rate; lower warmup_steps",
            stacklevel=2,
        )
    return steps


def _prompt(config: Config) -> dict[str, Any]:
    template = parse_template(config.prompt_template)
    column = config.cut_column or default_cut_column(config.prompt_template)
    template.around(column)
    return {"prompt_columns": ", ".join(template.columns), "cut_column": column}


def _train(config: Config) -> dict[str, Any]:
    if not _is_local(config, config.train_file):
        return {"train": f"{config.dataset} from the hub, not fetched here"}
    split = load_training(config)
    steps = warn_if_warmup_outlasts(config, len(split.kept))
    class_weights(config, split.kept)
    held_out = split_held_out(config, split.held_out)
    facts = {"train_examples": len(split.kept), "calibration_examples": len(held_out.kept), "optimizer_steps": steps}
    return facts | ({"stopping_examples": len(held_out.held_out)} if config.keep == "best" else {})


def _validation(config: Config) -> dict[str, Any]:
    if not _is_local(config, config.validation_file):
        return {"validation": f"{config.dataset} from the hub, not fetched here"}
    return {"validation_examples": len(load_validation(config))}


def _is_local(config: Config, file: Path | None) -> bool:
    if file is not None:
        return True
    dataset = find_dataset(config.dataset)
    check_classes(dataset, config.class_labels)
    return not dataset.is_remote
