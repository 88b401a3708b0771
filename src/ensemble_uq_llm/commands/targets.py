"""What a command reads is there, or else the error says what is there instead and what to name."""

from pathlib import Path
from typing import Final

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import as_word, clipped, listed

PREDICTIONS: Final = (".parquet", ".csv", ".tsv", ".npz", ".jsonl")
"""The endings of files of predictions."""


def check_exists(path: Path) -> None:
    """Raise DataError where there is neither a file nor a folder, with the name that may have been meant."""
    if path.exists():
        return
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no such file or folder, and no folder {path.parent}; correct the path")
    near = did_you_mean(path.name, (each.name for each in path.parent.iterdir() if not each.name.startswith(".")))
    advice = near or f"; name a run folder, or predictions ({', '.join(PREDICTIONS)})"
    raise DataError(f"{path}: there is no such file or folder{advice}")


def check_evaluable(folder: Path) -> None:
    """Raise ConfigError where a folder is no run, with the files of predictions in it, which can be named."""
    if RunFolder(folder).config.exists():
        return
    if RunFolder(folder).members():
        load_config(folder)  # which says how a folder of members becomes a run again
    files = sorted(each.name for each in folder.iterdir() if each.suffix in PREDICTIONS)
    if files:
        advice = f"name one of the files in it: {listed(files)}"
    elif RunFolder(folder).metrics("x").parent.is_dir():
        advice = f"it holds an evaluation; `ensemble-uq report {as_word(folder)}` shows it"
    else:
        advice = "name a run folder, a YAML file, or a file of predictions"
    raise ConfigError(f"{folder}: a folder without {RunFolder(folder).config.name}, so not a run; {advice}")


def check_evaluated(folder: Path) -> None:
    """Raise DataError where nothing was evaluated in a folder, with the command that would."""
    check_exists(folder)
    run = RunFolder(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, and a report is made from the folder of a run or of an evaluation; name it")
    if run.evaluated():
        return
    if run.prediction_names():
        advice = f"evaluate it first: ensemble-uq evaluate {as_word(folder)}"
    elif run.config.exists() and not run.members():
        advice = f"train, predict and evaluate it first: ensemble-uq run {as_word(folder)}"
    elif run.config.exists():
        advice = f"predict and evaluate it first: ensemble-uq predict {as_word(folder)} --evaluate"
    else:
        advice = "name a run folder, or the --output of an evaluation"
    raise DataError(f"{folder}: nothing has been evaluated here; {advice}")


def check_is_run(folder: Path) -> None:
    """Raise ConfigError where there is no run in a folder."""
    if RunFolder(folder).config.is_file():
        return
    if RunFolder(folder).members():
        load_config(folder)  # which says how members become a run again
    there = "a folder without config.yaml, so not a run" if folder.is_dir() else "there is no such run folder"
    beside = [path.parent.name for path in folder.absolute().parent.glob(f"*/{RunFolder(folder).config.name}")]
    hint = did_you_mean(folder.name, beside) or (f"; runs beside it are {listed(sorted(beside))}" if beside else "")
    raise ConfigError(f"{folder}: {there}{hint or '; train a configuration to make one'}")


def predicted_set(folder: RunFolder, name: str) -> Path:
    """Return where a run's predictions of a set are.

    Raises:
        DataError: there are none; the message says what is there instead.
        IntegrityError: they were put there by somebody else, or are gone.
    """
    names = folder.prediction_names()
    if name in names:
        folder.check_knows([folder.predictions(name)])
        return folder.predictions(name)
    if names:
        advice = f"there are {listed(names)}{did_you_mean(str(name), names)}"
    elif folder.config.exists():
        advice = f"predict it first: ensemble-uq predict {as_word(folder)}"
    else:
        advice = "the folder is no run; name a run folder or a file of predictions"
    raise DataError(f"{folder.root}: no set {clipped(name)} has been predicted; {advice}")
