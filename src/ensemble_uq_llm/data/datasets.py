"""The named data sets, and the one door through which every split of examples comes in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns, examples_from_records
from ensemble_uq_llm.data.reading.data_files import read_examples
from ensemble_uq_llm.data.reading.hub_rows import BOOLQ_REPO, load_hub_rows
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.labels.option_letters import LETTERS
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
class HubRows:
    """Where a data set lies on the hub, and what is called otherwise there."""

    repo: str
    configuration: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    """The hub's names of splits, by ours, where they differ."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our names of columns, by the hub's, where they differ."""

    def load(self, request: SplitRequest, columns: Columns) -> list[Example]:
        """Return the examples of a split; raises DataError."""
        split = self.splits.get(request.split, request.split)
        rows = load_hub_rows(self.repo, configuration=self.configuration, split=split, cache_dir=request.cache_dir)
        if self.columns:
            rows = [
                replace(row, values={self.columns.get(name, name): value for name, value in row.values.items()})
                for row in rows
            ]
        within = f"{self.repo}/{self.configuration}" if self.configuration else self.repo
        return examples_from_records(rows, columns, source=f"{within}[{split}]")


@dataclass(frozen=True, kw_only=True)
class NamedDataset:
    """One row of the table of data sets."""

    name: str
    splits: tuple[str, ...]
    class_names: tuple[str, ...]
    hub: "HubRows | None" = None
    """Where on the hub it lies; None of a set that is generated."""
    shifts: tuple[str, ...] = ()
    """The splits that leave the distribution of the training set."""

    @property
    def is_remote(self) -> bool:
        """Whether it comes from the hub."""
        return self.hub is not None


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
    load = _load_synthetic if dataset.hub is None else dataset.hub.load
    return load(request, columns)[: request.size]


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


def declared_shifts(config: Config) -> tuple[str, ...]:
    """Return the splits that a run's data set itself calls shifted; none beside the user's own files."""
    if config.validation_file is not None:
        return ()
    return next((dataset.shifts for dataset in DATASETS if dataset.name == config.dataset), ())


def _load_synthetic(request: SplitRequest, columns: Columns) -> list[Example]:
    examples = synthetic.generate(request.split, n=request.size)
    fields = examples[0].fields if examples else {}
    for name in columns.prompt:
        if name not in fields:
            hint = did_you_mean(name, fields)
            raise DataError(f"data set 'synthetic' has no field {name!r}{hint}; it has {listed(fields)}")
    return examples


_ALL_THREE: Final = ("train", "validation", "test")

DATASETS: Final = (
    # Yes/no questions about Wikipedia passages (Clark et al. 2019, arXiv 1905.10044), from the hub.
    NamedDataset(name="boolq", splits=("train", "validation"), class_names=("no", "yes"), hub=HubRows(repo=BOOLQ_REPO)),
    # Generated questions with known true probabilities, and shifted sets; no download.
    NamedDataset(
        name="synthetic",
        splits=tuple(each.name for each in synthetic.SETS),
        class_names=synthetic.CLASS_NAMES,
        shifts=tuple(each.name for each in synthetic.SETS if each.is_shift),
    ),
    # Film reviews, a sentence each (Socher et al. 2013); the labels of the test split are not public.
    NamedDataset(
        name="sst2",
        splits=_ALL_THREE,
        class_names=("negative", "positive"),
        hub=HubRows(repo="stanfordnlp/sst2"),
    ),
    # Does the premise entail the hypothesis (GLUE; Wang et al. 2019)? The labels of the test split are not public.
    NamedDataset(
        name="rte",
        splits=_ALL_THREE,
        class_names=("entailment", "not_entailment"),
        hub=HubRows(
            repo="nyu-mll/glue",
            configuration="rte",
            columns={"sentence1": "premise", "sentence2": "hypothesis"},
        ),
    ),
    # News by topic (Zhang et al. 2015); there is no validation split, so that is the test split.
    NamedDataset(
        name="ag_news",
        splits=_ALL_THREE,
        class_names=("World", "Sports", "Business", "Sci/Tech"),
        hub=HubRows(repo="fancyzhx/ag_news", splits={"validation": "test"}),
    ),
    # Science questions with four options (Mihaylov et al. 2018).
    NamedDataset(
        name="openbookqa",
        splits=_ALL_THREE,
        class_names=LETTERS[:4],
        hub=HubRows(repo="allenai/openbookqa", configuration="main"),
    ),
    # Grade-school science with three to five options, easy and hard (Clark et al. 2018).
    *(
        NamedDataset(
            name=name,
            splits=_ALL_THREE,
            class_names=LETTERS[:5],
            hub=HubRows(repo="allenai/ai2_arc", configuration=configuration),
        )
        for name, configuration in (("arc_easy", "ARC-Easy"), ("arc_challenge", "ARC-Challenge"))
    ),
    # Common sense with five options (Talmor et al. 2019); the answers of the test split are not public.
    NamedDataset(
        name="commonsenseqa",
        splits=_ALL_THREE,
        class_names=LETTERS[:5],
        hub=HubRows(repo="tau/commonsense_qa"),
    ),
    # Who fills the gap (Sakaguchi et al. 2020): training sets from xs to xl beside one validation split.
    *(
        NamedDataset(
            name=f"winogrande_{size}",
            splits=_ALL_THREE,
            class_names=LETTERS[:2],
            hub=HubRows(repo="allenai/winogrande", configuration=f"winogrande_{size}"),
        )
        for size in ("xs", "s", "m", "l", "xl")
    ),
    # Exams of 57 subjects (Hendrycks et al. 2021), whose training split the hub calls auxiliary_train.
    NamedDataset(
        name="mmlu",
        splits=(*_ALL_THREE, "dev"),
        class_names=LETTERS[:4],
        hub=HubRows(repo="cais/mmlu", configuration="all", splits={"train": "auxiliary_train"}),
    ),
)
