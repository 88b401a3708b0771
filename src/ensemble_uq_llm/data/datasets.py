"""The named data sets, and the one door through which every split of examples comes in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns, examples_from_records
from ensemble_uq_llm.data.reading.data_files import read_examples
from ensemble_uq_llm.data.reading.hub_rows import BOOLQ_REPO, load_hub_rows
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import listed


@dataclass(frozen=True, kw_only=True)
class SplitRequest:
    """Which split of examples is wanted: of a local file, or else of a named data set."""

    dataset: str
    split: str
    file: Path | None = None
    """Takes the place of the named data set."""
    cache_dir: Path | None = None
    """Where downloads are prepared; None is the user's Hugging Face cache."""
    size: int | None = None
    """Keep the first so many examples (of a generated set: generate so many); None is all."""


@dataclass(frozen=True, kw_only=True)
class NamedDataset:
    """One row of the table of data sets."""

    name: str
    splits: tuple[str, ...]
    class_names: tuple[str, ...]
    load: Callable[[SplitRequest, Columns], list[Example]]
    is_remote: bool
    """Whether it comes from the hub."""


def load_split(request: SplitRequest, columns: Columns) -> list[Example]:
    """Return the examples of one split, in the order of the file or data set.

    Raises DataError if the file or data set cannot be had, or holds something else than `columns` says.
    """
    if request.file is not None:
        return read_examples(request.file, columns)[: request.size]
    dataset = find_dataset(request.dataset)
    check_classes(dataset, columns.class_names)
    if request.split not in dataset.splits:
        hint = did_you_mean(request.split, dataset.splits)
        known = listed(dataset.splits)
        raise DataError(f"data set {dataset.name!r} has no split {request.split!r}{hint}; it has {known}")
    return dataset.load(request, columns)[: request.size]


def check_classes(dataset: NamedDataset, class_names: Sequence[str]) -> None:
    """Raise DataError if the configuration has another number of classes than the data set."""
    if len(class_names) != len(dataset.class_names):
        classes = f"{len(dataset.class_names)} classes ({listed(dataset.class_names)})"
        own = "or name your own files (train_file, validation_file)"
        raise DataError(f"data set {dataset.name!r} has {classes}, not {len(class_names)}; set num_labels, {own}")


def find_dataset(name: str) -> NamedDataset:
    """Return the data set of that name. Raises DataError with the names that exist."""
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    names = [dataset.name for dataset in DATASETS]
    hint = did_you_mean(name, names) or did_you_mean(name.rpartition("/")[2], names)
    files = "for other data give train_file and validation_file (.jsonl, .csv, .tsv or .parquet)"
    raise DataError(f"dataset: unknown data set {name!r}{hint}; known are {listed(names)}; {files}")


def _load_boolq(request: SplitRequest, columns: Columns) -> list[Example]:
    rows = load_hub_rows(BOOLQ_REPO, split=request.split, cache_dir=request.cache_dir)
    return examples_from_records(rows, columns, source=f"{BOOLQ_REPO}[{request.split}]")


def _load_synthetic(request: SplitRequest, columns: Columns) -> list[Example]:
    examples = synthetic.generate(request.split, n=request.size)
    fields = examples[0].fields if examples else {}
    for name in columns.prompt:
        if name not in fields:
            hint = did_you_mean(name, fields)
            raise DataError(f"data set 'synthetic' has no field {name!r}{hint}; it has {listed(fields)}")
    return examples


DATASETS: Final = (
    # Yes/no questions about Wikipedia passages (Clark et al. 2019, arXiv 1905.10044), from the hub.
    NamedDataset(
        name="boolq",
        splits=("train", "validation"),
        class_names=("no", "yes"),
        load=_load_boolq,
        is_remote=True,
    ),
    # Generated questions with known true probabilities, and shifted sets; no download.
    NamedDataset(
        name="synthetic",
        splits=tuple(each.name for each in synthetic.SETS),
        class_names=synthetic.CLASS_NAMES,
        load=_load_synthetic,
        is_remote=False,
    ),
)
