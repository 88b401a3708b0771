"""The command that makes a promise about abstention, and says its price."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.commands.options import AsJson, home_path
from ensemble_uq_llm.commands.targets import check_evaluable, check_exists
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.evaluation_commands import Classes, Columns, reading_of
from ensemble_uq_llm.printing import console_for, print_json

if TYPE_CHECKING:
    from ensemble_uq_llm.evaluation.files.decide_files import Decided, PromiseAsked


def decide(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            parser=home_path,
            help="A run folder or a YAML file (its calibration split is used), or labelled predictions of any origin.",
        ),
    ],
    target_risk: Annotated[
        float, typer.Option("--target-risk", metavar="SHARE", help="At most this share of the answers is wrong.")
    ],
    confidence: Annotated[
        float, typer.Option(metavar="SHARE", help="How probable it is, over calibration sets, that no more are.")
    ] = 0.9,
    score: Annotated[
        str,
        typer.Option(metavar="NAME", help="The score to abstain by; any: of all; best: chosen on half of the rows."),
    ] = "one_minus_confidence",
    by_class: Annotated[bool, typer.Option("--by-class", help="Promise it for every predicted class.")] = False,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Promise it for every group that stands in this column.")
    ] = None,
    group_file: Annotated[
        Path | None,
        typer.Option("--group-file", metavar="PATH", parser=home_path, help="The table with that column, and ids."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", parser=home_path, help="Where decision.json is written; a run has its own."),
    ] = None,
    columns: Columns = None,
    classes: Classes = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the halves of `--score best`.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say when to answer so that at most so many answers are wrong, and what that costs.

    The promise is certified on labelled rows that nothing was trained on (Learn then Test). Where nothing can be
    certified, the threshold is null, and how many rows would do is said; that is no failure. Needs no torch.
    """
    from ensemble_uq_llm.answering.decided_in_words import as_json_object, in_words
    from ensemble_uq_llm.evaluation.files.decide_files import PromiseAsked

    asked = PromiseAsked(
        target_risk=target_risk,
        confidence=confidence,
        score=score,
        by_class=by_class,
        group=group,
        group_file=group_file,
        seed=seed,
    )
    check_exists(target)
    decided = _decided(target, asked, output, columns, classes)
    if as_json:
        print_json(as_json_object(decided))
        return
    console = console_for(as_json=False)
    for line in in_words(decided):
        console.print(line, soft_wrap=True)


def _decided(
    target: Path, asked: "PromiseAsked", output: Path | None, columns: list[str] | None, classes: str | None
) -> "Decided":
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.evaluation.files.decide_files import decide_file, decide_run
    from ensemble_uq_llm.run_folder import RunFolder

    how = reading_of(columns, classes)
    if target.is_dir():
        check_evaluable(target)
    elif target.suffix not in (".yaml", ".yml"):
        return decide_file(target, asked, output=output, **how)
    if how:
        raise ConfigError("--columns and --classes: a run's predictions have our columns; leave these options out")
    settings = load_config(target)
    folder = RunFolder(settings.output_dir)
    with telling_what_is_kept(folder):
        return decide_run(folder, asked, output=output, seeds=settings.member_seeds, draws=settings.bootstrap_draws)
