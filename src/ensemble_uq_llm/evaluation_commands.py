"""The commands that read one run's predictions only: evaluate, report. They work without torch."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.commands.next_command import say_next
from ensemble_uq_llm.commands.options import FOUND, AsJson, Draws, Seed, found_config, home_path
from ensemble_uq_llm.commands.targets import check_evaluable, check_evaluated, check_exists
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.printing import console_for, print_evaluations, print_plain
from ensemble_uq_llm.utils.text import clipped

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config
    from ensemble_uq_llm.evaluation.evaluate import Evaluation
    from ensemble_uq_llm.evaluation.records import SetMetrics
    from ensemble_uq_llm.run_folder import RunFolder

TABLE: Final = "table"
JSON: Final = "json"

Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="table|json|markdown|latex|csv", help="How to print: for people, for programs, or to paste."
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="OURS=THEIRS,...", help="What a file calls our columns: id=qid,label=gold."),
]
Classes = Annotated[
    str | None, typer.Option("--classes", metavar="NAME,NAME,...", help="The classes in order, where labels are names.")
]


def evaluate(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGET",
            parser=home_path,
            help="A run folder, a YAML file, or predictions of any origin. [default: the run of ./config.yaml]",
        ),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option("--shift", metavar="NAME=FILE", help="Predictions of a shifted set; repeatable."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=home_path,
            help="Predictions of other examples: temperatures and conformal sets are fitted to them.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", parser=home_path, help="Where metrics and report of a predictions file are written."
        ),
    ] = None,
    columns: Columns = None,
    classes: Classes = None,
    draws: Draws = None,
    seed: Seed = None,
    table_format: Format = None,
    as_json: AsJson = False,
) -> None:
    """Measure uncertainty and quality from predictions.

    Works on a run (and writes its metrics and report) or on any predictions: Parquet, CSV, TSV, JSONL or NPZ of
    logits or probabilities, of one member or many. Needs no torch. Draws and seed are the configuration's where they
    are not given.
    """
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.data.datasets import declared_shifts
    from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files, evaluate_run
    from ensemble_uq_llm.run_folder import RunFolder

    form, as_json = checked_format(table_format, as_json=as_json)
    target = _target(target)
    shifts = _named_files(shift or [])
    is_run = target.is_dir() or target.suffix in (".yaml", ".yml")
    if output is not None:
        for name in shifts:
            RunFolder(output).metrics(name)  # a name that cannot be a file's is refused before any work
    check_exists(target)
    if target.is_dir():
        check_evaluable(target)
    if is_run and output is not None:
        raise ConfigError(f"--output {output}: a run's metrics and report lie in its own folder; leave it out")
    how_read = reading_of(columns, classes)
    if is_run and how_read:
        raise ConfigError("--columns and --classes: a run's predictions have our columns; leave these options out")
    given = {"bootstrap_draws": draws, "bootstrap_seed": seed}
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = load_config(target if is_run else None, overrides)
    resampling: dict[str, Any] = {"draws": settings.bootstrap_draws, "seed": settings.bootstrap_seed}
    folder = RunFolder(settings.output_dir) if is_run else RunFolder(output) if output else None
    with telling_what_is_kept(folder) if folder else nullcontext():
        if is_run and folder is not None:
            declared, seeds = declared_shifts(settings), settings.member_seeds
            evaluations = evaluate_run(
                folder, shifts=shifts, declared=declared, calibration=calibration, seeds=seeds, **resampling
            )
        else:
            how = how_read | resampling
            evaluations = evaluate_files(target, shifts=shifts, calibration=calibration, output=folder, **how)
        show(evaluations, folder=folder, form=form, as_json=as_json)
    if folder is None and not as_json and form is None:
        say_next("evaluate", target, "--output", "results")


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=home_path, help="A run folder, or the --output of an evaluation.")
    ],
    table_format: Format = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of an evaluation again, or print what was measured."""
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.report.source import read_sets, read_source
    from ensemble_uq_llm.run_folder import RunFolder

    form, as_json = checked_format(table_format, as_json=as_json)
    check_evaluated(folder)
    if table_format is None and not as_json:
        console_for(as_json=False).print(f"report: {write_report(RunFolder(folder))}", soft_wrap=True)
    elif as_json:
        _show_sets(read_sets(RunFolder(folder)), form, as_json=True)
    else:
        source = read_source(RunFolder(folder))
        _show_sets(source.sets, form, as_json=False, class_labels=source.class_labels)


def evaluate_and_show(settings: "Config", *, as_json: bool, is_shown: bool = True) -> None:
    """Evaluate a run's finished members on every predicted set, write the report, and print what was measured."""
    from ensemble_uq_llm.data.datasets import declared_shifts
    from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
    from ensemble_uq_llm.pipeline import finished_seeds
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.run_folder import RunFolder

    folder = RunFolder(settings.output_dir)
    evaluations = evaluate_run(
        folder,
        declared=declared_shifts(settings),
        seeds=finished_seeds(settings),
        draws=settings.bootstrap_draws,
        seed=settings.bootstrap_seed,
    )
    if is_shown:
        show(evaluations, folder=folder, as_json=as_json)
    else:
        write_report(folder)


def show(
    evaluations: "Mapping[str, Evaluation]",
    *,
    folder: "RunFolder | None",
    form: str | None = None,
    as_json: bool,
) -> None:
    """Print evaluations in the form asked for, and write the report where they have a folder."""
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.report.source import read_source

    written = write_report(folder) if folder is not None else None
    labels = read_source(folder).class_labels if folder is not None and not as_json else None
    _show_sets({name: each.metrics for name, each in evaluations.items()}, form, as_json=as_json, class_labels=labels)
    if written is not None and folder is not None and not as_json and form is None:
        console_for(as_json=as_json).print(f"report: {written}", soft_wrap=True)
        say_next("report", folder.root, "--format", "markdown")


def _show_sets(
    sets: "Mapping[str, SetMetrics]", form: str | None, *, as_json: bool, class_labels: "Sequence[str] | None" = None
) -> None:
    if form is None:
        print_evaluations(sets, as_json=as_json, class_labels=class_labels)
    else:
        print_plain(sets, form, class_labels=class_labels)


def reading_of(columns: list[str] | None, classes: str | None) -> dict[str, Any]:
    """Return how files of predictions are to be read, as arguments."""
    from ensemble_uq_llm.predictions.foreign.column_names import parse_columns

    how: dict[str, Any] = {}
    if columns:
        how["columns"] = parse_columns(columns)
    if classes is not None:
        how["classes"] = [name.strip() for name in classes.split(",")]
    return how


def checked_format(name: str | None, *, as_json: bool) -> tuple[str | None, bool]:
    """Return the form to paste in that was asked for, None where there is none, and whether JSON was."""
    from ensemble_uq_llm.report.paste import FORMATS
    from ensemble_uq_llm.utils.suggest import did_you_mean

    known = (*FORMATS, TABLE, JSON)
    if name is not None and name not in known:
        raise ConfigError(f"--format {clipped(name)}: must be {', '.join(known)}{did_you_mean(name, known)}")
    if as_json and name not in (None, JSON):
        raise ConfigError(f"--format {name}: --json asks for another form; leave one of them out")
    return name if name in FORMATS else None, as_json or name == JSON


def _target(named: Path | None) -> Path:
    """Return what is to be evaluated: what was named, or else the run of the configuration that lies here."""
    found = found_config(named)
    if found is None:
        raise ConfigError(f"evaluate: name a run folder, a YAML file or predictions; there is no ./{FOUND} here")
    return found


def _named_files(options: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for option in options:
        name, equals, path = option.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--shift {clipped(option)}: give a name and a file, such as --shift news=news.parquet")
        if name in files:
            raise ConfigError(
                f"--shift {clipped(option)}: {clipped(name)} is the name of {files[name]} already; use another"
            )
        files[name] = Path(path)
    return files
