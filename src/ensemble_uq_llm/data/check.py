"""What `validate` can say about a configuration's data without torch: prompt, local files, counts, schedule."""

import warnings
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.bag_design import rows_an_epoch
from ensemble_uq_llm.data.classes import class_counts, with_classes
from ensemble_uq_llm.data.datasets import check_classes, find_dataset
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.prepare import FILE_KEYS, check_named, class_weights
from ensemble_uq_llm.data.prompts import default_cut_column, parse_template
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_labels, read_records
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.labels.option_letters import names_options
from ensemble_uq_llm.utils.text import clipped, listed

MOST_CLASSES: Final = 10


def check(config: Config) -> dict[str, Any]:
    """Return what the configuration amounts to; data on the hub are not fetched.

    Warns where the warm-up outlasts training, where a class has no training example, and of texts in two sets.

    Raises:
        ConfigError: every problem of the prompt and the data together, one a line; DataError if only data are bad.
    """
    problems: list[ConfigError | DataError] = []
    facts: dict[str, Any] = {"members": len(config.member_seeds)}
    try:
        config = with_classes(config)
    except (ConfigError, DataError) as error:
        problems.append(error)
    job = Job(config)
    looks: dict[str, Callable[[Config, Job], dict[str, Any]]] = {"prompt": _prompt}
    looks |= {"validation": _validation_columns} if problems else {"train": _train, "validation": _validation}
    for name, look in [*looks.items(), ("repeats", _repeats)]:
        if name == "repeats" and problems:
            break  # it needs what is wrong
        try:
            facts |= look(config, job)
        except (ConfigError, DataError) as error:
            problems.append(error)
            facts[name] = "unusable"
    _raise_together(problems)
    return facts


def check_what_is_right(config: Config, wrong: AbstractSet[str]) -> None:
    """Look at the prompt and the files of a configuration of which other keys are wrong, as far as that goes.

    Raises:
        ConfigError, DataError: as `check`.
    """
    looks: list[Callable[[], object]] = []
    if wrong.isdisjoint({"prompt_template", "cut_column"}):
        looks.append(partial(_prompt, config, Job(config)))
    for key in FILE_KEYS:
        file: Path | None = getattr(config, key)
        if key in wrong or file is None:
            continue
        if wrong.isdisjoint({"prompt_template", "label_column", "id_column"}):
            looks.append(partial(_check_columns, config, file, require_labels=key == "train_file"))
        else:
            looks.append(partial(read_records, file))
    problems: list[ConfigError | DataError] = []
    for look in looks:
        try:
            look()
        except (ConfigError, DataError) as error:
            problems.append(error)
    _raise_together(problems)


def warn_if_warmup_outlasts(config: Config, examples: int) -> int:
    """Return the optimiser steps of training on so many examples; warn if the learning rate never reaches its peak."""
    steps = config.optimizer_steps(rows_an_epoch(config, examples))
    if config.warmup_steps >= steps:
        warnings.warn(
            f"warmup_steps: {config.warmup_steps} warm-up steps, and training has {steps}: the learning rate only "
            f"rises to {(steps - 1) / max(1, config.warmup_steps):.0%} of learning_rate; lower warmup_steps",
            stacklevel=2,
        )
    return steps


def _raise_together(problems: Sequence[ConfigError | DataError]) -> None:
    if problems:
        kind = ConfigError if any(isinstance(problem, ConfigError) for problem in problems) else DataError
        raise kind("\n".join(dict.fromkeys(map(str, problems))))


def _prompt(config: Config, _: Job) -> dict[str, Any]:
    template = parse_template(config.prompt_template)
    column = config.cut_column or default_cut_column(config.prompt_template)
    template.around(column)
    return {"prompt_columns": ", ".join(template.columns), "cut_column": column}


def _train(config: Config, job: Job) -> dict[str, Any]:
    check_named(config, "train_file", beside="validation_file", verb="train")
    if not _is_local(config, config.train_file):
        return {"train": f"{config.dataset} from the hub, not fetched here"}
    kept, held_out = job.split.kept, job.split.held_out
    counts = class_counts([*kept, *held_out], config.class_labels)
    if absent := [name for name, count in counts.items() if not count]:
        key, advice = ("class_names", "is the name right?")
        if names_options(config.prompt_template):
            key, advice = ("num_labels", "lower it, if no row has so many options")
        warnings.warn(
            f"{key}: no training example is of {listed(absent)}: it cannot be learned; {advice}", stacklevel=3
        )
    class_weights(config, kept)
    stopping = 0 if job.stopping is None else len(job.stopping.examples)
    return {
        "train_examples": len(kept),
        "train_classes": _in_words(counts),
        "calibration_examples": len(held_out) - stopping,
        "optimizer_steps": warn_if_warmup_outlasts(config, len(kept)),
        **({"stopping_examples": stopping} if stopping else {}),
    }


def _validation(config: Config, job: Job) -> dict[str, Any]:
    check_named(config, "validation_file", beside="train_file", verb="evaluate")
    if not _is_local(config, config.validation_file):
        return {"validation": f"{config.dataset} from the hub, not fetched here"}
    examples = job.validation.examples
    unlabelled = sum(example.label is None for example in examples)
    facts = {
        "validation_examples": len(examples),
        "validation_classes": _in_words(class_counts(examples, config.class_labels)),
    }
    return facts | ({"validation_unlabelled": unlabelled} if unlabelled else {})


def _validation_columns(config: Config, _: Job) -> dict[str, Any]:
    """Look at what can be seen of the evaluation file without the classes: whether it can be read, and its columns."""
    check_named(config, "validation_file", beside="train_file", verb="evaluate")
    if config.validation_file is not None:
        _check_columns(config, config.validation_file, require_labels=False)
    return {}


def _check_columns(config: Config, file: Path, *, require_labels: bool) -> None:
    read_labels(file, Columns.of(config, require_labels=require_labels))


def _repeats(config: Config, job: Job) -> dict[str, Any]:
    if not (_is_local(config, config.train_file) and _is_local(config, config.validation_file)):
        return {}
    repeats = asdict(job.repeats)
    if repeats["calibration_in_test"]:
        repeats["calibration_examples"] = len(job.calibration.examples)
    return {name: count for name, count in repeats.items() if count}


def _in_words(counts: dict[str, int]) -> str:
    """Return the balance of the classes, the first of many: `no 726 (38%), yes 1,207 (62%)`."""
    total = max(1, sum(counts.values()))
    shown = [f"{clipped(name)[1:-1]} {count:,} ({count / total:.0%})" for name, count in counts.items()]
    more = f" and {len(shown) - MOST_CLASSES} more" if len(shown) > MOST_CLASSES else ""
    return ", ".join(shown[:MOST_CLASSES]) + more


def _is_local(config: Config, file: Path | None) -> bool:
    if file is not None:
        return True
    dataset = find_dataset(config.dataset)
    check_classes(dataset, config.class_labels)
    return not dataset.is_remote
