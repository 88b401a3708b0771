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
from typer.core import TyperGroup

from ensemble_uq_llm import __version__, evaluation_commands
from ensemble_uq_llm.errors import ConfigError, EnsembleUQError, InterruptedRunError
from ensemble_uq_llm.printing import console_for, print_json, print_record
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.text import counted

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config


class Commands(TyperGroup):
    """The commands; Ctrl-C in any of them is an error of ours with its own exit code, not typer's 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedRunError("interrupted; what is finished is kept, the same command continues") from None


app = typer.Typer(
    cls=Commands,
    name="ensemble-uq",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"ensemble-uq {__version__}")  # noqa: T201 (what a program reads)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Train an ensemble of LoRA adapters together over one frozen base, and measure what it does not know."""


ConfigPath = Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A YAML file, or a run folder.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Adapters = Annotated[list[Path] | None, typer.Option("--adapter", help="A PEFT folder as member; repeatable.")]


@app.command()
def run(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train, predict, evaluate, and write the report."""
    _run(_load(config, overrides), as_json=as_json)


@app.command()
def train(
    config: ConfigPath = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train the members that are missing, together."""
    settings = _load(config, overrides)
    console = console_for(as_json=as_json)
    if dry_run:
        from ensemble_uq_llm.training.dry_run import dry_run as plan_training

        print_record(asdict(plan_training(settings)), as_json=as_json)
        return
    from ensemble_uq_llm.pipeline import train_with_display

    folder = train_with_display(settings, console=console)
    if as_json:
        print_json({"output_dir": str(folder.root), "members": [member.seed for member in folder.members()]})
    else:
        console.print(f"{counted(len(folder.members()), 'member')} in {folder.root}")


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
        print_json({"predictions": [str(path) for path in paths]})
    else:
        for path in paths:
            console_for(as_json=as_json).print(f"predictions in {path}")


app.command()(evaluation_commands.evaluate)
app.command()(evaluation_commands.report)
app.command()(evaluation_commands.compare)


@app.command()
def validate(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a configuration and the local data it names."""
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.data.check import check

    facts = check(load_config(config, overrides or []))
    if as_json:
        print_json({"valid": True, **facts})
    else:
        print_record({"configuration": "valid", **facts}, as_json=False)


@app.command("config")
def show_config(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show every resolved value, and where it came from."""
    from ensemble_uq_llm.config_file import resolve_config

    resolved = resolve_config(config, overrides or [])
    values = resolved.config.model_dump(mode="json")
    if as_json:
        print_json({key: {"value": value, "origin": resolved.origins[key]} for key, value in values.items()})
        return
    from rich.table import Table

    table = Table("key", "value", "origin", box=None, pad_edge=False)
    for key, value in values.items():
        table.add_row(key, str(value), resolved.origins[key])
    console_for(as_json=as_json).print(table)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The YAML to write.")] = Path("config.yaml")) -> None:
    """Write a commented YAML with every key."""
    from ensemble_uq_llm.config_file import commented_template
    from ensemble_uq_llm.utils.files import write_text

    if path.exists():
        raise ConfigError(f"{path}: exists already; name another file, or delete it")
    write_text(path, commented_template())
    console_for(as_json=False).print(f"wrote {path}; edit it, then: ensemble-uq validate {path}")


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
        print_json({check.name: {"finding": check.finding, "ok": check.ok} for check in checks})
    else:
        marks = {True: "ok", False: "BROKEN", None: ""}
        print_record({check.name: f"{check.finding}  {marks[check.ok]}".rstrip() for check in checks}, as_json=False)
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
    from ensemble_uq_llm.pipeline import demo_config, shift_names

    moved = f"output_dir={json.dumps(str(output_dir), ensure_ascii=False)}"  # in quotes: a folder named 2024 is a path
    settings = _load(demo_config(), [moved, *(overrides or [])])
    _run(settings, sets=shift_names(), as_json=as_json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error of the user's becomes its message and its exit code."""
    warnings.showwarning = _show_warning
    try:
        with naming_extras():
            app(arguments)
    except EnsembleUQError as error:
        _fail(error)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(ConfigError(f"{error.filename}: {error.strerror}; make it usable, or name another place"))


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
    from ensemble_uq_llm.data.classes import with_classes

    return with_classes(load_config(config, overrides or []))


def _run(settings: "Config", *, sets: Sequence[str] = (), as_json: bool) -> None:
    from ensemble_uq_llm.pipeline import run_all

    failure = run_all(settings, sets=sets, console=console_for(as_json=as_json))
    _show_evaluations(settings, as_json=as_json)
    if failure is not None:
        raise failure


def _show_evaluations(settings: "Config", *, as_json: bool) -> None:
    from ensemble_uq_llm.evaluation.evaluate import evaluate_run
    from ensemble_uq_llm.run_folder import RunFolder

    folder = RunFolder(settings.output_dir)
    evaluations = evaluate_run(folder, draws=settings.bootstrap_draws, seed=settings.bootstrap_seed)
    evaluation_commands.show(evaluations, folder=folder, as_json=as_json)
