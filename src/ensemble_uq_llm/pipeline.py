"""The stages joined: train, predict, and what the embedded demo adds. What the command line calls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from rich.console import Console

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.datasets import find_dataset
from ensemble_uq_llm.data.embedded import synthetic
from ensemble_uq_llm.data.job import Job, PreparedSet
from ensemble_uq_llm.errors import ConfigError, DataError, MembersFailedError
from ensemble_uq_llm.inference.members import LoadedEnsemble, begin_given, load_members
from ensemble_uq_llm.inference.predict import prediction_settings, write_set
from ensemble_uq_llm.inference.prediction_display import PredictionDisplay
from ensemble_uq_llm.inference.zero_shot import begin_baseline, load_zero_shot
from ensemble_uq_llm.models.base_files import base_files, digest_of
from ensemble_uq_llm.predictions.freshness import scales_of, weights_of
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.parquet import read_origin
from ensemble_uq_llm.run_folder import CALIBRATION, HELD_OUT, OUT_OF_BAG, VALIDATION, RunFolder
from ensemble_uq_llm.training.from_config import base_folder
from ensemble_uq_llm.training.listeners.progress import TrainingDisplay
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.utils.files import expanded
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import listed


def run_all(config: Config, *, sets: Sequence[str] = (), console: Console) -> MembersFailedError | None:
    """Train, then predict the evaluation split, the calibration split if there is one, and the named sets.

    The data are loaded and tokenised once. What the same members have predicted of the same data is left as it is, and
    what earlier members have predicted of other data is predicted again, so that all of it can be evaluated together.

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
        survivors = finished_seeds(config)
        if not survivors:
            raise
        config = config.model_copy(update={"seeds": survivors, "num_ensemble_models": len(survivors)})
        failure = error
    predict_outdated(config, sets, job=job, console=console)
    return failure


def predict_outdated(config: Config, sets: Sequence[str], *, job: Job, console: Console) -> None:
    """Predict the run's own sets and the named ones where that was not done by these members, and others again."""
    wanted = _by_name(RunFolder(config.output_dir), [*own_sets(config), *sets], None)
    _predict(config, list(_outdated(config, wanted, job)), console=console)


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
    zero_shot: bool = False,
    job: Job | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Predict data files and named sets (default: the run's own) with one loading of the members.

    Bad names and data are reported before anything is loaded. `name` renames the predictions of a single set; `job`
    holds the configuration's data where another stage has loaded them; on a `console` the progress is shown. With
    `zero_shot` it is the base alone that answers: `config` is then one of `zero_shot_config`.

    Returns:
        The predictions' paths.

    Raises:
        ConfigError: a name cannot be a file's, or would be that of two sets. DataError: a set cannot be had.
    """
    if zero_shot and adapters:
        raise ConfigError("--zero-shot: asks the base without adapters, so give no --adapter with it")
    own = [each for each in own_sets(config) if each != OUT_OF_BAG or not (adapters or zero_shot)]
    wanted = _by_name(RunFolder(config.output_dir), list(sets) or own, name)
    job = job or Job(config)
    prepared = [_Wanted.of(job, config, key, each) for key, each in wanted.items()]
    return _predict(config, prepared, adapters=adapters, zero_shot=zero_shot, console=console)


def _predict_set(loaded: LoadedEnsemble, wanted: "_Wanted", config: Config, console: Console | None) -> Path:
    if console is None:
        return write_set(loaded, wanted.prepared, config, name=wanted.name, source=wanted.source)
    examples, members = len(wanted.prepared.examples), len(loaded.ensemble.members)
    with PredictionDisplay(console, name=wanted.name, examples=examples, members=members) as display:
        return write_set(loaded, wanted.prepared, config, name=wanted.name, source=wanted.source, tell=display)


def _named(job: Job, config: Config, name: str) -> PreparedSet:
    """Return a set by its name; raises DataError where it is none, and no file either."""
    known = [*own_sets(config), *find_dataset(config.dataset).splits]
    if name not in HELD_OUT and name not in known:
        files = {path.stem: path.name for path in Path().iterdir() if path.is_file()}
        near = did_you_mean(files.get(name, name), [*known, *files.values()])
        raise DataError(
            f"data: {name!r} is neither a file here nor a set{near or f'; the sets are {listed(dict.fromkeys(known))}'}"
        )
    return job.named(name)


def finished_seeds(config: Config) -> tuple[int, ...]:
    """Return the configuration's seeds whose members are trained."""
    return tuple(dict.fromkeys(each.seed for each in RunFolder(config.output_dir).members_of(config.member_seeds)))


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A set that is to be predicted."""

    name: str
    source: str
    """The name of a set, or the absolute path of a data file."""
    prepared: PreparedSet

    @staticmethod
    def of(job: Job, config: Config, name: str, text: str) -> "_Wanted":
        if _is_file(text):
            path = expanded(Path(text))
            return _Wanted(name=name, source=str(path.absolute()), prepared=job.file(path))
        return _Wanted(name=name, source=text, prepared=_named(job, config, text))


def own_sets(config: Config) -> list[str]:
    """Return the sets that a configuration itself asks to predict: the evaluation split, and what calibrates.

    That is a calibration split, or without one the training rows by the members that left them out.
    """
    if config.calibration_fraction > 0:
        return [VALIDATION, CALIBRATION]
    return [VALIDATION] if config.bootstrap is None else [VALIDATION, OUT_OF_BAG]


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


def _predict(
    config: Config,
    wanted: Sequence[_Wanted],
    *,
    adapters: Sequence[Path] = (),
    zero_shot: bool = False,
    console: Console | None,
) -> list[Path]:
    if not wanted:
        return []
    folder = RunFolder(config.output_dir)
    with folder.owned("predict"):
        loaded = load_zero_shot(config) if zero_shot else load_members(config, adapters=adapters)
        if zero_shot:
            begin_baseline(config, loaded)
        elif adapters:
            begin_given(config)
        return [_predict_set(loaded, each, config, console) for each in wanted]


def _outdated(config: Config, sets: Mapping[str, str], job: Job) -> Iterator[_Wanted]:
    """Yield the sets that are not predicted as they would be now, and those that earlier members of the run predicted.

    What cannot be had any more is left alone; the evaluation says so.
    """
    folder = RunFolder(config.output_dir)
    members = folder.members_of(config.member_seeds)
    weights, scales = weights_of(folder, members), scales_of(folder, members)
    known = folder.record().get("base_files")
    base = digest_of(base_files(base_folder(config), known, templated=config.chat_template))
    settings = prediction_settings(config)
    for name, text in sets.items():
        wanted = _Wanted.of(job, config, name, text)
        origin = Origin(
            weights=weights, base=base, data=wanted.prepared.digest, source=wanted.source, settings=settings
        )
        # Predictions of an earlier version do not tell the scales, which cannot have changed in a run.
        if read_origin(folder.predictions(name)) not in (origin, replace(origin, scales=scales)):
            yield wanted
    for name in folder.prediction_names():
        before = read_origin(folder.predictions(name))
        if name in sets or before is None or before.foreign or before.source is None or before.weights == weights:
            continue
        if not _is_file(before.source) or Path(before.source).exists():
            yield _Wanted.of(job, config, name, before.source)


def _is_file(text: str) -> bool:
    return "/" in text or "." in text or Path(text).is_file()
