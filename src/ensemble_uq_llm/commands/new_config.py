"""What `init` writes: a YAML with every key explained, or the few keys that a known task needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import commented_template
from ensemble_uq_llm.data.prompting.tasks import find_task
from ensemble_uq_llm.data.reading.data_files import read_records
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.utils.files import write_text
from ensemble_uq_llm.utils.flat_yaml import write_value


def write_new(path: Path, task: str | None, *, train: Path | None = None, validation: Path | None = None) -> None:
    """Write a new YAML to a place where nothing is.

    Raises:
        ConfigError: something is there; or as `new_yaml`. DataError: as `new_yaml`.
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path}: exists already; name another file, or delete it")
    write_text(path, new_yaml(task, train=train, validation=validation))


def new_yaml(task: str | None, *, train: Path | None = None, validation: Path | None = None) -> str:
    """Return the text of a new YAML.

    Args:
        task: a name of `data/prompting/tasks.py`; None writes every key at its default.
        train: the rows to train on, instead of the data set on the hub.
        validation: the rows to evaluate on, likewise.

    Raises:
        ConfigError: there is no such task, or one file is given without the other.
        DataError: the files cannot be read, or have other columns than the task.
    """
    if (train is None) != (validation is None):
        missing, given = ("--validation", "--train") if validation is None else ("--train", "--validation")
        raise ConfigError(f"{missing}: not given beside {given}; give both, or neither for the data set on the hub")
    if task is None:
        if train is not None:
            raise ConfigError("--task: not given beside --train and --validation; name the task that the files are of")
        return commented_template()
    found = find_task(task)
    sources = [path for path in (train, validation) if path is not None]
    prompts = [found.prompt_for(_first_row(path), str(path)) for path in sources] or [found.prompts[0]]
    if prompts[0] != prompts[-1]:
        raise DataError(f"{validation}: has not the columns of {train}; both must be read by one prompt_template")
    prompt = prompts[0]
    files = {"train_file": str(train), "validation_file": str(validation)} if sources else {}
    values: dict[str, Any] = {
        **(files or {"dataset": task}),
        "prompt_template": prompt.template,
        "cut_column": prompt.cut,
        **({"label_column": found.label} if found.label else {}),
        **({"class_names": list(found.classes)} if found.classes else {"num_labels": found.options}),
        "max_length": found.max_length,
        "calibration_fraction": 0.1,
        "output_dir": f"runs/{task}",
    }
    model = Config.model_fields["model_name"].default
    about = (
        f"# {found.title}.\n# All other keys are at their defaults; `ensemble-uq config` shows them.\n"
        f"# The base: a name on the hub, a folder, or a GGUF file.\nmodel_name: {write_value(model)}\n"
    )
    in_words = "# To ask the base in words, trained or zero-shot, uncomment:\n# head: answer\n" + (
        f"# answers: {write_value(list(found.answers))}\n" if found.answers else ""
    )
    return about + "".join(f"{key}: {write_value(value)}\n" for key, value in values.items()) + in_words


def _first_row(path: Path) -> Mapping[str, Any]:
    """Return the first row of a file, whose columns are taken for those of all."""
    records = read_records(path)
    if not records:
        raise DataError(f"{path}: holds no rows; give a file with some")
    return records[0].values
