"""A run as one object, and what Python callers do with it: train, predict, evaluate, compare, report.

Nothing here imports the engine before it is needed, so that a run can be opened and evaluated without torch.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ensemble_uq_llm.commands.targets import check_is_run, predicted_set
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.classes import with_classes
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId, by_member
from ensemble_uq_llm.predictions.zero_shot_config import zero_shot_config, zero_shot_folder
from ensemble_uq_llm.run_folder import VALIDATION, RunFolder
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.files import AnyPath, as_path
from ensemble_uq_llm.utils.text import clipped, counted

if TYPE_CHECKING:
    from ensemble_uq_llm.evaluation.evaluate import Evaluation
    from ensemble_uq_llm.evaluation.records import RunComparison, SetMetrics
    from ensemble_uq_llm.inference.classifier import EnsembleClassifier
    from ensemble_uq_llm.predictions.record import Predictions
    from ensemble_uq_llm.training.events import Listener

Data: TypeAlias = AnyPath | Iterable[AnyPath] | None
"""Data files and names of sets, one or several; None for the run's own sets."""


class Run:
    """A trained run: its folder, and what is done with it.

        run = train("config.yaml")          # or Run("runs/boolq"), to open one
        run.predict()
        run.evaluate()["validation"]
        run.report()

    Every function that takes the path of a run folder takes a run, too.
    """

    def __init__(self, run: "AnyPath | Config") -> None:
        """Open the run in a folder, or the one in a configuration's `output_dir`, to be used as that says.

        Raises:
            ConfigError: there is no run; the message names those beside it.
        """
        check_is_run(run.output_dir if isinstance(run, Config) else as_path(run, "run"))
        self.config = with_classes(run if isinstance(run, Config) else load_config(run))
        """The configuration that it is predicted and evaluated with."""
        self._paths = RunFolder(self.config.output_dir)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        sets = counted(len(self._paths.prediction_names()), "predicted set")
        return f"Run({clipped(str(self.folder))}, {counted(len(self.members), 'member')}, {sets})"

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self._paths.root

    @property
    def failed(self) -> dict[MemberId, str]:
        """The members that training could not make, and why; training again tries them again."""
        reasons = by_member(self._paths.record().get("failed") or {})
        return {member: why for member, why in reasons.items() if member not in self.members}

    @property
    def members(self) -> tuple[MemberId, ...]:
        """The members that are finished, by seed and sample."""
        return tuple(self._paths.members())

    def predict(
        self, data: Data = None, *, name: str | None = None, zero_shot: bool = False
    ) -> "dict[str, Predictions]":
        """Predict the run's own sets, or data files and named sets; see `predict`."""
        return predict(self, data, name=name, zero_shot=zero_shot)

    @property
    def zero_shot(self) -> "Run":
        """The run's zero-shot baseline, a run of one member: what `predict(zero_shot=True)` has written.

        Raises:
            ConfigError: it has not been predicted.
        """
        folder = zero_shot_folder(self.folder)
        if not RunFolder(folder).config.is_file():
            raise ConfigError(f"{folder}: the base has not been asked; call predict(zero_shot=True) of the run first")
        return Run(folder)

    def predictions(self, name: str = VALIDATION) -> "Predictions":
        """Return what was predicted of a set.

        Raises:
            DataError: the set has not been predicted; the message names those that have.
        """
        from ensemble_uq_llm.predictions.parquet import read_predictions

        return read_predictions(predicted_set(self._paths, name))

    def evaluate(
        self,
        *,
        shifts: Mapping[str, AnyPath] | None = None,
        calibration: AnyPath | None = None,
        draws: int | None = None,
        seed: int | None = None,
    ) -> "dict[str, Evaluation]":
        """Evaluate every predicted set and write the metrics; draws and seed are the configuration's by default.

        `shifts` and `calibration`, the returned mapping and errors are those of `evaluate_run`.
        """
        from ensemble_uq_llm.data.datasets import declared_shifts
        from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run

        return evaluate_run(
            self,
            shifts=shifts,
            declared=declared_shifts(self.config),
            calibration=calibration,
            seeds=self.config.member_seeds,
            draws=self.config.bootstrap_draws if draws is None else draws,
            seed=self.config.bootstrap_seed if seed is None else seed,
        )

    @property
    def metrics(self) -> "dict[str, SetMetrics]":
        """What the last evaluation measured, by set, the main one first; read from the folder.

        Raises:
            DataError: nothing has been evaluated. IntegrityError: a file is torn.
        """
        from ensemble_uq_llm.report.source import read_sets

        return read_sets(self._paths)

    @naming_extras()
    def posterior(self, maker: str, *, samples: int = 10, output: AnyPath | None = None, **settings: float) -> "Run":
        """Make samples of every member's weights, in a run of their own; `settings` are the maker's.

        Raises:
            ConfigError, DataError, IntegrityError: these members have no such samples, or `output` holds another run.
        """
        from ensemble_uq_llm.sampling.posterior_run import posterior

        return Run(posterior(self.config, maker, samples=samples, output=output, settings=settings))

    def report(self) -> Path:
        """Write the report of the last evaluation, and return its path."""
        from ensemble_uq_llm.report.page import write_report

        return write_report(self)

    @naming_extras()
    def classifier(self) -> "EnsembleClassifier":
        """Load the members over the base, ready to answer questions."""
        from ensemble_uq_llm.inference.classifier import EnsembleClassifier
        from ensemble_uq_llm.inference.members import load_members

        return EnsembleClassifier(load_members(self.config), self.config)


@naming_extras()
def train(config: Config | AnyPath, *, overrides: Sequence[str] = (), listeners: "Sequence[Listener]" = ()) -> Run:
    """Train the members that the run lacks, jointly.

    Args:
        config: a configuration, a YAML file, or a run folder.
        overrides: changes to it, such as `["seeds=[1,2]", "learning_rate=1e-4"]`.
        listeners: called with every event of training.

    Raises:
        ConfigError, ModelError, DataError: nothing was trained; the message says what to change.
        MembersFailedError: some members diverged; the others are saved, and `Run` opens them.
        MissingExtraError: the libraries of training are not installed.
    """
    settings = _settings(config, overrides)
    from ensemble_uq_llm.training.loop import train as train_members

    train_members(settings, listeners=listeners)
    return Run(settings)


@naming_extras()
def predict(
    run: "Run | Config | AnyPath",
    data: Data = None,
    *,
    name: str | None = None,
    adapters: AnyPath | Sequence[AnyPath] = (),
    zero_shot: bool = False,
) -> "dict[str, Predictions]":
    """Predict sets with every member and write what they say to the run folder.

    Args:
        run: a run, its folder, or a configuration.
        data: data files (.jsonl, .csv, .parquet) and names of sets, one or several; by default the run's own.
        name: under which the predictions of a single set are kept; by default the file's or the set's own.
        adapters: PEFT folders, one or several, to use as members in place of the run's.
        zero_shot: ask the base alone, by the answer head, and write that beside the run; see `Run.zero_shot`.

    Returns:
        the predictions by the names of the sets.

    Raises:
        ConfigError: a member is not trained, or a name cannot be used. DataError: a set cannot be had.
        IntegrityError: a member was altered. MissingExtraError: the libraries for it are not installed.
    """
    settings = run.config if isinstance(run, Run) else _settings(run)
    sets = _sets(data)
    from ensemble_uq_llm.pipeline import predict as predict_sets
    from ensemble_uq_llm.predictions.parquet import read_predictions

    several = [adapters] if isinstance(adapters, str | os.PathLike) else adapters
    folders = [as_path(each, "adapters") for each in several]
    settings = zero_shot_config(settings) if zero_shot else settings
    paths = predict_sets(settings, sets, name=name, adapters=folders, zero_shot=zero_shot)
    return {path.stem: read_predictions(path) for path in paths}


def compare(
    a: "Predictions | AnyPath",
    b: "Predictions | AnyPath",
    *,
    name: str = VALIDATION,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> "RunComparison":
    """Say whether one run is better than another: every metric's paired difference on the examples of both.

    Args:
        a: predictions, a file of them of any origin, or a run (folder).
        b: others, of the same examples.
        name: the predicted set to compare, of runs.
        columns: what files call our columns, as of `load_predictions`; of runs it says nothing.
        classes: the names of the classes, as of `load_predictions`.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: a file cannot be used, or no labelled example is in both.
    """
    from ensemble_uq_llm.comparing.runs_to_compare import compare_pair, read_run
    from ensemble_uq_llm.statistics.bootstrap import DRAWS

    sides = (read_run(each, side, name=name, columns=columns, classes=classes) for each, side in ((a, "A"), (b, "B")))
    return compare_pair(*sides, draws=DRAWS if draws is None else draws, seed=seed)


def _settings(config: Any, overrides: Sequence[str] = ()) -> Config:
    if isinstance(config, Config):
        if overrides:
            raise ConfigError("overrides: they go with a YAML file or a run folder; change the Config itself instead")
        return with_classes(config)
    several = [overrides] if isinstance(overrides, str) else overrides
    if not isinstance(several, Sequence) or not all(isinstance(each, str) for each in several):
        raise ConfigError(f'overrides: found {clipped(overrides)}; give texts such as ["num_epochs=1", "lora_r=4"]')
    return with_classes(load_config(as_path(config, "config"), several))


def _sets(data: Any) -> list[str]:
    """Return data files and names of sets as the pipeline takes them: a text with a dot or a slash is a file."""
    several = [] if data is None else [data] if isinstance(data, str | os.PathLike) else data
    if not isinstance(several, Iterable):
        raise ConfigError(f"data: {clipped(data)}; give the path of a file, the name of a set, or a list of them")
    return [each if isinstance(each, str) else str(as_path(each, "data").absolute()) for each in several]
