"""The stages joined: train, predict, and what the embedded demo adds. What the command line calls."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from rich.console import Console

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import ConfigError, MembersFailedError
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import write_set
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import CALIBRATION, VALIDATION, RunFolder
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.progress import TrainingDisplay


def run_all(config: Config, *, sets: Sequence[str] = (), console: Console) -> MembersFailedError | None:
    """Train, then predict the evaluation split, the calibration split if there is one, and the named sets.

    The data are loaded and tokenised once.

    Returns:
        The failure of some members, for the caller to raise once it has shown what the others say.

    Raises:
        MembersFailedError: no member is left.
    """
    failure = None
    job = Job(config)
    try:
        train_with_display(config, job=job, console=console)
    except MembersFailedError as error:
        finished = RunFolder(config.output_dir).members()
        survivors = tuple(seed for seed in config.member_seeds if MemberId(seed) in finished)
        if not survivors:
            raise
        config = config.model_copy(update={"seeds": survivors, "num_ensemble_models": len(survivors)})
        failure = error
    predict(config, [*own_sets(config), *sets], job=job)
    return failure


def train_with_display(config: Config, *, job: Job | None = None, console: Console) -> RunFolder:
    """Train the missing members and show the progress."""
    with TrainingDisplay(console) as display:
        return train(config, job=job, listeners=[display])


def predict(
    config: Config,
    sets: Sequence[str] = (),
    *,
    name: str | None = None,
    adapters: Sequence[Path] = (),
    job: Job | None = None,
) -> list[Path]:
    """Predict data files and named sets (default: the run's own) with one loading of the members.

    Bad names and data are reported before anything is loaded. `name` renames the predictions of a single set; `job`
    holds the configuration's data where another stage has loaded them.

    Returns:
        The predictions' paths.

    Raises:
        ConfigError: a name cannot be a file's, or would be that of two sets. DataError: a set cannot be had.
    """
    wanted = _by_name(RunFolder(config.output_dir), list(sets) or own_sets(config), name)
    job = job or Job(config)
    prepared = {key: job.file(expanded(Path(each))) if _is_file(each) else job.named(each) for key, each in wanted.items()}
    loaded = load_members(config, adapters=adapters)
    return [write_set(loaded, each, config, name=key) for key, each in prepared.items()]


def own_sets(config: Config) -> list[str]:
    """Return the sets that a configuration itself asks to predict: the evaluation split, and a calibration split."""
    return [VALIDATION, CALIBRATION] if config.calibration_fraction > 0 else [VALIDATION]


def demo_config() -> Path:
    """Return the YAML of the demo, which ships with the package."""
    return Path(str(resources.files("ensemble_uq_llm") / "assets" / "demo.yaml"))


def shift_names() -> list[str]:
    """Return the names of the embedded world's shifted sets."""
    return [each.name for each in synthetic.SETS if each.is_shift]


def _by_name(folder: RunFolder, sets: Sequence[str], name: str | None) -> dict[str, str]:
    """Return the sets by the names under which their predictions are kept."""
    wanted: dict[str, str] = {}
    for each in sets:
        key = name or (Path(each).stem if _is_file(each) else each)
        try:
            folder.predictions(key)
        except ConfigError as error:
            raise ConfigError(f"{each}: {error}; give one with --name") from None
        if key in wanted:
            raise ConfigError(f"{each}: its predictions would be named {key!r}, as those of {wanted[key]}; use --name")
        wanted[key] = each
    return wanted


def _is_file(text: str) -> bool:
    return "/" in text or "." in text or Path(text).is_file()
