"""Local files -> typed examples. Whatever is wrong with a file is said with its line, field and value."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns, examples_from_records, labels_of_records
from ensemble_uq_llm.data.reading.file_formats import Record, read_delimited, read_jsonl, read_parquet
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.utils.input.input_file import InputFile, opened
from ensemble_uq_llm.utils.input.problems import Problems
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import listed

READERS: Final[dict[str, Callable[[InputFile, Problems], Iterator[Record]]]] = {
    ".jsonl": read_jsonl,
    ".json": read_jsonl,
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": read_parquet,
}


def read_examples(path: str | Path, columns: Columns) -> list[Example]:
    """Read the examples of a .jsonl, .json (one object a line), .csv, .tsv or .parquet file.

    What a label means is the rule of `class_names.py`. Raises DataError with up to ten problems, each as
    `file:line: what is wrong and what to do`.
    """
    return examples_from_records(read_records(path), columns, source=str(path))


def read_labels(path: str | Path, columns: Columns) -> list[Any]:
    """Return the labels of a file's rows as they are, without those that are missing.

    Raises:
        DataError: the file cannot be read as its format, or lacks one of the columns.
    """
    return labels_of_records(read_records(path), columns, source=str(path))


def read_records(path: str | Path) -> list[Record]:
    """Read the rows of a file as they are. Raises DataError if the file cannot be read as its format."""
    path = at_home(path)
    problems = Problems(str(path))
    reader = reader_of(path)
    with opened(path) as file:
        records = list(reader(file, problems))
    problems.raise_if_any()
    return records


def at_home(path: str | Path) -> Path:
    """Return the path with `~` as the user's home."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{path}: {error}; write the path in full") from None


def reader_of(path: Path) -> Callable[[InputFile, Problems], Iterator[Record]]:
    """Return what reads a file of this name. Raises DataError where it is not there, or of no known format."""
    if "://" in str(path) or str(path).startswith(("http:/", "https:/", "hf:/", "s3:/")):
        raise DataError(f"{path}: is an address; download the file and name its local path")
    try:
        if path.is_dir():
            inside = sorted(each.name for each in path.iterdir() if each.suffix.lower() in READERS)
            raise DataError(f"{path}: is a folder; name one file in it" + (f": {listed(inside)}" if inside else ""))
        if not path.exists():
            raise DataError(f"{path}: {_why_absent(path)} (relative paths start from {Path.cwd()})")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path}: unknown format {path.suffix!r}; known are {', '.join(READERS)}")
    return READERS[path.suffix.lower()]


def _why_absent(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {path.readlink()}, where no file is"
    if not path.parent.is_dir():
        return f"not found; there is no folder {path.parent}"
    return f"not found{did_you_mean(path.name, [each.name for each in path.parent.iterdir()])}"
