"""The command line: `ensemble-uq COMMAND`. Each command is one function that calls the floors below.

Nothing heavy is imported at the top, so that `--help`, `config` and `evaluate` answer without torch.
"""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble_uq_llm import __version__, evaluation_commands
from ensemble_uq_llm.answering.answer_command import answer
from ensemble_uq_llm.answering.decide_command import decide
from ensemble_uq_llm.commands.help_pages import epilog
from ensemble_uq_llm.commands.interruption import InterruptibleCommands, telling_what_is_kept
from ensemble_uq_llm.commands.next_command import say_next
from ensemble_uq_llm.commands.options import (
    FOUND,
    Adapters,
    AsJson,
    ConfigPath,
    EvaluationRows,
    Overrides,
    TaskName,
    TrainRows,
    ZeroShot,
    found_config,
    home_path,
    load,
)
from ensemble_uq_llm.commands.streams import forgive_encodings
from ensemble_uq_llm.commands.verification import verify
from ensemble_uq_llm.comparing.compare_command import compare
from ensemble_uq_llm.errors import ConfigError, EnsembleUQError, TooLittleMemoryError
from ensemble_uq_llm.outgoing.guarded_streams import guarding_streams
from ensemble_uq_llm.printing import console_for, print_json, print_record, print_rows, show_warning
from ensemble_uq_llm.sampling.posterior_command import posterior, run_posterior
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.storage.failures import DISK, storage_error
from ensemble_uq_llm.storage.places import check_is_somewhere
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.text import counted

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config


app = typer.Typer(
    cls=InterruptibleCommands,
    name="ensemble-uq",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    check_is_somewhere()


@app.command(epilog=epilog("run"))
def run(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Train, predict, evaluate, and write the report."""
    _run(load(config, overrides), as_json=as_json)


@app.command(epilog=epilog("train"))
def train(
    config: ConfigPath = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train the members that are missing, together."""
    config = found_config(config)
    settings = load(config, overrides)
    if dry_run:
        from ensemble_uq_llm.commands.plan import show_plan

        show_plan(settings, as_json=as_json)
        if not as_json:
            say_next("train", *([config] if config else []), overrides=overrides)
        return
    from ensemble_uq_llm.pipeline import train_with_display
    from ensemble_uq_llm.run_folder import RunFolder

    console = console_for(as_json=as_json)
    with telling_what_is_kept(RunFolder(settings.output_dir), resume=settings.resume):
        folder = train_with_display(settings, console=console)
    if as_json:
        print_json({"output_dir": str(folder.root), "members": [member.folder_name for member in folder.members()]})
        return
    console.print(f"{counted(len(folder.members()), 'member')} in {folder.root}", soft_wrap=True)
    say_next("predict", folder.root)


@app.command(epilog=epilog("predict"))
def predict(
    config: ConfigPath = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="A data file, or a named set of the data set; repeatable.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the predictions; default: the file's name.")
    ] = None,
    adapters: Adapters = None,
    zero_shot: ZeroShot = False,
    and_evaluate: Annotated[bool, typer.Option("--evaluate", help="Evaluate afterwards.")] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Predict the evaluation set, data files, or named sets."""
    from ensemble_uq_llm.pipeline import predict
    from ensemble_uq_llm.predictions.zero_shot_config import zero_shot_config
    from ensemble_uq_llm.run_folder import RunFolder

    settings, console = load(config, overrides), console_for(as_json=as_json)
    if name is not None and len(data or []) != 1:
        raise ConfigError("--name: names one set of predictions, so give exactly one --data with it")
    settings = zero_shot_config(settings) if zero_shot else settings
    with telling_what_is_kept(RunFolder(settings.output_dir), resume=settings.resume):
        paths = predict(settings, data or [], name=name, adapters=adapters or [], zero_shot=zero_shot, console=console)
        if and_evaluate:
            evaluation_commands.evaluate_and_show(settings, as_json=as_json)
            return
    if as_json:
        print_json({"predictions": [str(path) for path in paths]})
        return
    for path in paths:
        console.print(f"predictions in {path}", soft_wrap=True)
    say_next("evaluate", settings.output_dir)


app.command(epilog=epilog("evaluate"))(evaluation_commands.evaluate)
app.command(epilog=epilog("report"))(evaluation_commands.report)
app.command(epilog=epilog("decide"))(decide)
app.command(epilog=epilog("answer"))(answer)
app.command(epilog=epilog("compare"))(compare)
app.command(epilog=epilog("verify"))(verify)
app.command(epilog=epilog("posterior"))(posterior)


@app.command(epilog=epilog("validate"))
def validate(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a configuration, its data, model, device and output folder: every problem at once.

    Nothing is written, and of a model on the hub only its small files are fetched. What could not be checked is said.
    """
    from ensemble_uq_llm.commands.preflight import check_everything
    from ensemble_uq_llm.config_file import usable_part

    config = found_config(config)
    part = usable_part(config, overrides or [])
    facts = check_everything(part.config, problems=[ConfigError(each) for each in part.problems], wrong=part.wrong)
    if as_json:
        print_json({"valid": True, **facts})
        return
    print_record({"configuration": "valid", **facts}, as_json=False)
    say_next("predict" if "holds" in facts else "train", *([config] if config else []), overrides=overrides)


@app.command("config", epilog=epilog("config"))
def show_config(config: ConfigPath = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show every resolved value, and where it came from."""
    from ensemble_uq_llm.config_file import resolve_config

    resolved = resolve_config(found_config(config), overrides or [])
    values = resolved.config.model_dump(mode="json")
    if as_json:
        print_json({key: {"value": value, "origin": resolved.origins[key]} for key, value in values.items()})
    else:
        print_rows([("key", "value", "origin"), *((key, str(values[key]), resolved.origins[key]) for key in values)])


@app.command(epilog=epilog("init"))
def init(
    path: Annotated[Path, typer.Argument(metavar="PATH", parser=home_path, help="The YAML to write.")] = FOUND,
    task: TaskName = None,
    train: TrainRows = None,
    validation: EvaluationRows = None,
) -> None:
    """Write a commented YAML with every key, or one for a task.

    A task's YAML has its prompt, columns and classes.
    """
    from ensemble_uq_llm.commands.new_config import write_new

    write_new(path, task, train=train, validation=validation)
    console_for(as_json=False).print(f"wrote {path}; edit it, then check it", soft_wrap=True)
    say_next("validate", path)


@app.command(epilog=epilog("doctor"))
def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", parser=home_path, help="Where runs would be written.")
    ] = Path(),
    as_json: AsJson = False,
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


@app.command(epilog=epilog("demo"))
def demo(
    output_dir: Annotated[Path, typer.Option(metavar="PATH", parser=home_path, help="The run folder.")] = Path(
        "runs/demo"
    ),
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Run everything on the embedded model and world.

    The true probabilities are known there, and nothing is downloaded.
    """
    from ensemble_uq_llm.pipeline import demo_config, shift_names

    moved = f"output_dir={json.dumps(str(output_dir), ensure_ascii=False)}"  # in quotes: a folder named 2024 is a path
    settings = load(demo_config(), [moved, *(overrides or [])])
    _run(settings, sets=shift_names(), as_json=as_json)


@guarding_streams()
def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error of the user's becomes its message and its exit code."""
    forgive_encodings()
    warnings.showwarning = show_warning
    try:
        with stop.listening(), naming_extras():
            app(arguments, prog_name="ensemble-uq")
    except EnsembleUQError as error:
        _fail(error)
    except MemoryError:
        _fail(TooLittleMemoryError("no memory is left; use a machine with more, or fewer examples or members"))
    except OSError as error:
        if error.filename is None and error.errno not in DISK:
            raise
        _fail(storage_error(Path(error.filename or "a file"), "used", error))


def infer(config: str, overrides: Sequence[str] = ()) -> None:
    """Predict the evaluation set and evaluate: the specification's `inference`."""
    options = [word for each in overrides for word in ("--set", each)]
    main(["predict", config, *options, "--evaluate"])


def _fail(error: EnsembleUQError) -> None:
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 (the command line's own voice)
    sys.exit(error.exit_code)


def _run(settings: "Config", *, sets: Sequence[str] = (), as_json: bool) -> None:
    from ensemble_uq_llm.pipeline import run_all
    from ensemble_uq_llm.run_folder import RunFolder

    with telling_what_is_kept(RunFolder(settings.output_dir), resume=settings.resume):
        failure = run_all(settings, sets=sets, console=console_for(as_json=as_json))
        evaluation_commands.evaluate_and_show(settings, as_json=as_json, is_shown=not (settings.posterior and as_json))
        if settings.posterior is not None:
            run_posterior(settings, sets=sets, as_json=as_json)
    if failure is not None:
        raise failure
