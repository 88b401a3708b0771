"""The commands that read predictions only: evaluate, report, compare. They work without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.printing import console_for, print_evaluations, print_json, print_plain

if TYPE_CHECKING:
    from ensemble_uq_llm.evaluation.evaluate import Evaluation
    from ensemble_uq_llm.run_folder import RunFolder

Draws = Annotated[int | None, typer.Option(min=100, help="Bootstrap draws for the 95% intervals.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the bootstrap.")]
Format = Annotated[
    str | None, typer.Option("--format", metavar="markdown|latex|csv", help="Print the headline table to paste.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="OURS=THEIRS,...", help="What a file calls our columns: id=qid,label=gold."),
]
Classes = Annotated[
    str | None, typer.Option("--classes", metavar="NAME,NAME,...", help="The classes in order, where labels are names.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def evaluate(
    target: Annotated[Path, typer.Argument(help="A run folder, a YAML file, or predictions of any origin.")],
    shift: Annotated[
        list[str] | None,
        typer.Option("--shift", metavar="NAME=FILE", help="Predictions of a shifted set; repeatable."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Predictions of other examples: temperatures and conformal sets are fitted to them."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where metrics and report of a predictions file are written.")
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
    from ensemble_uq_llm.evaluation.evaluate import evaluate_files, evaluate_run
    from ensemble_uq_llm.run_folder import RunFolder

    _check_format(table_format)
    shifts = _named_files(shift or [])
    is_run = target.is_dir() or target.suffix in (".yaml", ".yml")
    if is_run and output is not None:
        raise ConfigError(f"--output {output}: a run's metrics and report lie in its own folder; leave it out")
    form = _form_of(columns, classes)
    if is_run and form:
        raise ConfigError("--columns and --classes: a run's predictions have our columns; leave these options out")
    given = {"bootstrap_draws": draws, "bootstrap_seed": seed}
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None]
    settings = load_config(target if is_run else None, overrides)
    resampling: dict[str, Any] = {"draws": settings.bootstrap_draws, "seed": settings.bootstrap_seed}
    folder: RunFolder | None
    if is_run:
        folder = RunFolder(settings.output_dir)
        evaluations = evaluate_run(folder, shifts=shifts, calibration=calibration, **resampling)
    else:
        folder = RunFolder(output) if output else None
        how = form | resampling
        evaluations = evaluate_files(target, shifts=shifts, calibration=calibration, output=folder, **how)
    show(evaluations, folder=folder, table_format=table_format, as_json=as_json)


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder, or the --output of an evaluation.")],
    table_format: Format = None,
) -> None:
    """Write the report of an evaluation again, or print its headline table to paste."""
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.report.source import read_sets
    from ensemble_uq_llm.run_folder import RunFolder

    _check_format(table_format)
    if table_format is None:
        console_for(as_json=False).print(f"report: {write_report(RunFolder(folder))}", soft_wrap=True)
    else:
        print_plain(read_sets(RunFolder(folder)), table_format)


def compare(
    run_a: Annotated[Path, typer.Argument(help="A run folder, or predictions of any origin.")],
    run_b: Annotated[Path, typer.Argument(help="Another, on the same examples.")],
    name: Annotated[str, typer.Option(help="The predicted set to compare, of run folders.")] = "validation",
    columns: Columns = None,
    classes: Classes = None,
    draws: Draws = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Say whether one run is better than another.

    Every metric's paired difference on the same examples, with its 95% interval and p-value.
    """
    from ensemble_uq_llm.evaluation.comparison import comparison_json
    from ensemble_uq_llm.report.terminal import comparison_table
    from ensemble_uq_llm.run import compare as compare_runs

    result = compare_runs(run_a, run_b, name=name, draws=draws, seed=seed or 0, **_form_of(columns, classes))
    if as_json:
        print_json({"a": str(run_a), "b": str(run_b), **comparison_json(result)})
        return
    console = console_for(as_json=False)
    console.print(f"A: {run_a}\nB: {run_b}", soft_wrap=True)
    console.print(comparison_table(result))


def show(
    evaluations: "Mapping[str, Evaluation]",
    *,
    folder: "RunFolder | None",
    table_format: str | None = None,
    as_json: bool,
) -> None:
    """Print evaluations in the form asked for, and write the report where they have a folder."""
    from ensemble_uq_llm.report.page import write_report

    written = write_report(folder) if folder is not None else None
    sets = {name: evaluation.metrics for name, evaluation in evaluations.items()}
    if table_format is not None:
        print_plain(sets, table_format)
        return
    print_evaluations(sets, as_json=as_json)
    if written is not None and not as_json:
        console_for(as_json=as_json).print(f"report: {written}", soft_wrap=True)


def _form_of(columns: list[str] | None, classes: str | None) -> dict[str, Any]:
    """Return how files of predictions are to be read, as arguments."""
    from ensemble_uq_llm.predictions.foreign.column_names import parse_columns

    form: dict[str, Any] = {}
    if columns:
        form["columns"] = parse_columns(columns)
    if classes is not None:
        form["classes"] = [name.strip() for name in classes.split(",")]
    return form


def _check_format(name: str | None) -> None:
    from ensemble_uq_llm.report.paste import FORMATS
    from ensemble_uq_llm.utils.suggest import did_you_mean

    if name is not None and name not in FORMATS:
        raise ConfigError(f"--format {name}: must be {', '.join(FORMATS)}{did_you_mean(name, FORMATS)}")


def _named_files(options: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for option in options:
        name, equals, path = option.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"--shift {option}: give a name and a file, such as --shift news=news.parquet")
        if name in files:
            raise ConfigError(f"--shift {option}: {name!r} is the name of {files[name]} already; use another")
        files[name] = Path(path)
    return files
