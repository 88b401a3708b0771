"""The classes from the training data, where the configuration asks for that; and how many examples each has."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.datasets import find_dataset
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_labels
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.labels.class_keys import names_problem
from ensemble_uq_llm.labels.class_names import FROM_DATA
from ensemble_uq_llm.labels.label_values import in_order, name_of
from ensemble_uq_llm.utils.text import counted, listed

SURELY_CLASSES: Final = 50
"""More labels than these are taken for classes only if each stands, on average, on two rows."""


def with_classes(config: Config) -> Config:
    """Return the configuration with `class_names: from_data` replaced by the names, and `num_labels` by their number.

    The names are the distinct labels of the training file, sorted, or those of the named data set. Any other
    configuration is returned as it is.

    Raises:
        DataError: the file cannot be read, or its labels are not those of two or more classes.
        ConfigError: `num_labels` says another number, or the prompt's template is no good.
    """
    if config.class_names != FROM_DATA:
        return config
    names = _names(config)
    if "num_labels" in config.model_fields_set and config.num_labels != len(names):
        raise ConfigError(
            f"num_labels: {config.num_labels}, and the training data have {len(names)} classes, {listed(names)} "
            "(class_names: from_data); delete num_labels"
        )
    if isinstance(config.class_weights, tuple) and len(config.class_weights) != len(names):
        raise ConfigError(
            f"class_weights: {counted(len(config.class_weights), 'weight')}, and the training data have {len(names)} "
            f"classes, {listed(names)} (class_names: from_data); give one a class, in this order"
        )
    return config.model_copy(update={"class_names": names, "num_labels": len(names)})


def class_counts(examples: Iterable[Example], names: Sequence[str]) -> dict[str, int]:
    """Return how many examples each class has, in the classes' order; unlabelled ones are not counted."""
    counts = Counter(example.label for example in examples)
    return {name: counts[index] for index, name in enumerate(names)}


def _names(config: Config) -> tuple[str, ...]:
    if config.train_file is None:
        return find_dataset(config.dataset).class_names
    values = read_labels(config.train_file, Columns.of(config))
    names = {name_of(value) for value in values}
    what = f"{config.train_file}: the labels of label_column"
    if None in names:
        wrong = next(value for value in values if name_of(value) is None)
        raise DataError(f"{what} cannot be classes (class_names: from_data): {wrong!r} is neither text nor a number")
    known = in_order([name for name in names if name is not None])
    if len(known) < 2:
        raise DataError(f"{what} are {listed(known)}; class_names: from_data needs two or more classes")
    if len(known) > SURELY_CLASSES and 2 * len(known) > len(values):
        number = counted(len(values), "row")
        raise DataError(f"{what} are {len(known):,} different ones on {number}, so no classes; is it another column?")
    if problem := names_problem(known):
        raise DataError(f"{what} cannot be classes (class_names: from_data): {problem}")
    return known
