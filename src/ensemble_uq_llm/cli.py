"""The command line: `ensemble-uq COMMAND`. Each command is one function that calls the floors below.

Nothing heavy is imported at the top, so that `--help`, `validate` and `evaluate` answer without torch.
"""

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble_uq_llm.errors import ConfigError, EnsembleUQError, InterruptedRunError

if TYPE_CHECKING:
    from rich.console import Console

    from ensemble_uq_llm.config import Config
    from ensemble_uq_llm.inference.evaluate import Evaluation

app = typer.Typer(
    name="ensemble-uq",
    help="Train an ensemble of LoRA adapters over one frozen LLaMA in one pass, and measure what it does not know.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A YAML file, or a run folder.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Adapters = Annotated[list[Path] | None, typer.Option("--adapter", help="A PEFT folder as member; repeatable.")]


@app.command()
def run(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train, predict, evaluate, and write the report."""
    from ensemble_uq_llm.pipeline import run_all

    settings = _load(config, overrides)
    console = _console(as_json)
    failure = run_all(settings, console=console)
    _show_evaluations(settings, as_json=as_json)
    if failure is not None:
        raise failure


@app.command()
def train(
    config: ConfigPath = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train the members that are missing, in one pass."""
    settings = _load(config, overrides)
    console = _console(as_json)
    if dry_run:
        from ensemble_uq_llm.training.dry_run import dry_run as plan_training

        _show_record(asdict(plan_training(settings)), as_json=as_json)
        return
    from ensemble_uq_llm.pipeline import train_with_display

    folder = train_with_display(settings, console=console)
    if as_json:
        _print_json({"output_dir": str(folder.root), "members": folder.member_seeds()})
    else:
        console.print(f"{len(folder.member_seeds())} members in {folder.root}", highlight=False)


@app.command()
def predict(
    config: ConfigPath = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="A data file, or a named set of the data set; repeatable.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the predictions; default: the file's name.")
    ] = None,
    adapters: Adapters = None,
    and_evaluate: Annotated[bool, typer.Option("--evaluate", help="Evaluate afterwards.")] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Predict the evaluation set, data files, or named sets."""
    from ensemble_uq_llm.pipeline import predict

    settings = _load(config, overrides)
    if name is not None and len(data or []) != 1:
        raise ConfigError("--name: names one set of predictions, so give exactly one --data with it")
    paths = predict(settings, data or [], name=name, adapters=adapters or [])
    if and_evaluate:
        _show_evaluations(settings, as_json=as_json)
    elif as_json:
        _print_json({"predictions": [str(path) for path in paths]})
    else:
        for path in paths:
            _console(as_json).print(f"predictions in {path}", highlight=False)


@app.command()
def evaluate(
    target: Annotated[Path, typer.Argument(help="A run folder, a YAML file, or a predictions Parquet of any origin.")],
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws for the 95% intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure uncertainty and quality from predictions.

    Works on a run (and writes its metrics and report) or on any predictions file; needs no torch.
    """
    from ensemble_uq_llm.inference.evaluate import evaluate_file

    if target.is_file() and target.suffix not in (".yaml", ".yml"):
        evaluation = evaluate_file(target, draws=draws, seed=seed)
        _show({target.stem: evaluation}, as_json=as_json)
        return
    settings = _load(target, [f"bootstrap_draws={draws}", f"bootstrap_seed={seed}"])
    _show_evaluations(settings, as_json=as_json)


@app.command()
def validate(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a configuration and the local data it names."""
    from ensemble_uq_llm.data.check import check

    settings = _load(config, overrides)
    facts = check(settings)
    if as_json:
        _print_json({"valid": True, **facts})
    else:
        _show_record({"configuration": "valid", **facts}, as_json=False)


@app.command("config")
def show_config(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show every resolved value, and where it came from."""
    from ensemble_uq_llm.config_file import resolve_config

    resolved = resolve_config(_yaml_of(config), overrides or [])
    values = resolved.config.model_dump(mode="json")
    if as_json:
        _print_json({key: {"value": value, "origin": resolved.origins[key]} for key, value in values.items()})
        return
    from rich.table import Table

    table = Table("key", "value", "origin", box=None, pad_edge=False)
    for key, value in values.items():
        table.add_row(key, str(value), resolved.origins[key])
    _console(as_json).print(table)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The YAML to write.")] = Path("config.yaml")) -> None:
    """Write a commented YAML with every key."""
    from ensemble_uq_llm.config_file import commented_template
    from ensemble_uq_llm.utils.files import write_text

    if path.exists():
        raise ConfigError(f"{path}: exists already; name another file, or delete it")
    write_text(path, commented_template())
    _console(False).print(f"wrote {path}; edit it, then: ensemble-uq validate {path}", highlight=False)


@app.command()
def doctor(
    folder: Annotated[Path, typer.Argument(help="Where runs would be written.")] = Path(), as_json: AsJson = False
) -> None:
    """Show versions, devices, memory, disk, and the hub.

    Exit code 2 if something is broken.
    """
    from ensemble_uq_llm.utils.doctor import examine

    checks = list(examine(folder))
    if as_json:
        _print_json({check.name: {"finding": check.finding, "ok": check.ok} for check in checks})
    else:
        marks = {True: "ok", False: "BROKEN", None: ""}
        _show_record({check.name: f"{check.finding}  {marks[check.ok]}".rstrip() for check in checks}, as_json=False)
    if any(check.ok is False for check in checks):
        raise typer.Exit(ConfigError.exit_code)


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Run everything on the embedded model and world.

    The true probabilities are known there, and nothing is downloaded.
    """
    from ensemble_uq_llm.pipeline import demo_config, run_all, shift_names

    settings = _load(demo_config(), [f"output_dir={output_dir}", *(overrides or [])])
    console = _console(as_json)
    failure = run_all(settings, sets=shift_names(), console=console)
    _show_evaluations(settings, as_json=as_json)
    if failure is not None:
        raise failure


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error of the user's becomes its message and its exit code."""
    warnings.showwarning = _show_warning
    try:
        app(arguments)
    except EnsembleUQError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(InterruptedRunError("interrupted; what is finished is kept, and the same command continues"))


def infer(config: str, overrides: Sequence[str] = ()) -> None:
    """Predict the evaluation set and evaluate: the specification's `inference`."""
    options = [word for each in overrides for word in ("--set", each)]
    main(["predict", config, *options, "--evaluate"])


def _fail(error: EnsembleUQError) -> None:
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 (the command line's own voice)
    sys.exit(error.exit_code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)  # noqa: T201 (the command line's own voice)


def _load(config: Path | None, overrides: list[str] | None) -> "Config":
    from ensemble_uq_llm.config_file import load_config

    path = _yaml_of(config)
    moved = [f"output_dir={config}"] if config is not None and config.is_dir() else []
    return load_config(path, [*moved, *(overrides or [])])


def _yaml_of(config: Path | None) -> Path | None:
    """Return the YAML that an argument names: itself, or the one inside a run folder."""
    if config is None or not config.is_dir():
        return config
    from ensemble_uq_llm.run_folder import RunFolder

    inside = RunFolder(config).config
    if not inside.exists():
        raise ConfigError(f"{config}: a folder without {inside.name}, so not a run; name a YAML file or a run folder")
    return inside


def _show_evaluations(settings: "Config", *, as_json: bool) -> None:
    from ensemble_uq_llm.inference.evaluate import evaluate_run
    from ensemble_uq_llm.inference.report import write_report
    from ensemble_uq_llm.run_folder import RunFolder

    folder = RunFolder(settings.output_dir)
    evaluations = evaluate_run(folder, draws=settings.bootstrap_draws, seed=settings.bootstrap_seed)
    report = write_report(folder)
    _show(evaluations, as_json=as_json)
    if not as_json:
        _console(as_json).print(f"report: {report}", highlight=False, soft_wrap=True)


def _show(evaluations: "dict[str, Evaluation]", *, as_json: bool) -> None:
    metrics = {name: evaluation.metrics for name, evaluation in evaluations.items()}
    if as_json:
        _print_json(metrics)
        return
    from ensemble_uq_llm.inference.table import headline_table, shift_table

    console = _console(as_json)
    first = next(iter(metrics))
    console.print(headline_table(first, metrics[first]))
    if len(metrics) > 1:
        console.print(shift_table(metrics))


def _show_record(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(record)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in record.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        table.add_row(key.replace("_", " "), shown)
    _console(as_json).print(table)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201 (what a program reads)


def _console(as_json: bool) -> "Console":
    """Return the console for people: standard error while standard output carries JSON."""
    from rich.console import Console

    return Console(stderr=as_json)


if __name__ == "__main__":
    main()
