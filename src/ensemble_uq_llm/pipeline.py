"""The stages joined: train, predict, and what the embedded demo adds. What the command line calls."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from rich.console import Console

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.datasets import find_dataset
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.job import Job, PreparedSet
from ensemble_uq_llm.errors import ConfigError, DataError, MembersFailedError
from ensemble_uq_llm.inference.members import LoadedEnsemble, load_members
from ensemble_uq_llm.inference.predict import write_set
from ensemble_uq_llm.inference.prediction_display import PredictionDisplay
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import CALIBRATION, VALIDATION, RunFolder
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.training.progress import TrainingDisplay
from ensemble_uq_llm.utils.files import expanded
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import listed


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
    predict(config, [*own_sets(config), *sets], job=job, console=console)
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
    console: Console | None = None,
) -> list[Path]:
    """Predict data files and named sets (default: the run's own) with one loading of the members.

    Bad names and data are reported before anything is loaded. `name` renames the predictions of a single set; `job`
    holds the configuration's data where another stage has loaded them; on a `console` the progress is shown.

    Returns:
        The predictions' paths.

    Raises:
        ConfigError: a name cannot be a file's, or would be that of two sets. DataError: a set cannot be had.
    """
    wanted = _by_name(RunFolder(config.output_dir), list(sets) or own_sets(config), name)
    job = job or Job(config)
    prepared = {
        key: job.file(expanded(Path(each))) if _is_file(each) else _named(job, config, each)
        for key, each in wanted.items()
    }
    loaded = load_members(config, adapters=adapters)
    return [_predict_set(loaded, each, config, key, console) for key, each in prepared.items()]


def _predict_set(
    loaded: LoadedEnsemble, prepared: PreparedSet, config: Config, name: str, console: Console | None
) -> Path:
    if console is None:
        return write_set(loaded, prepared, config, name=name)
    examples, members = len(prepared.examples), len(loaded.ensemble.members)
    with PredictionDisplay(console, name=name, examples=examples, members=members) as display:
        return write_set(loaded, prepared, config, name=name, tell=display)


def _named(job: Job, config: Config, name: str) -> PreparedSet:
    """Return a set by its name; raises DataError where it is none, and no file either."""
    known = [*own_sets(config), *find_dataset(config.dataset).splits]
    if name != CALIBRATION and name not in known:
        files = {path.stem: path.name for path in Path().iterdir() if path.is_file()}
        near = did_you_mean(files.get(name, name), [*known, *files.values()])
        raise DataError(
            f"data: {name!r} is neither a file here nor a set{near or f'; the sets are {listed(dict.fromkeys(known))}'}"
        )
    return job.named(name)


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
