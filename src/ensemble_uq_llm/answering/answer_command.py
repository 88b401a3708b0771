"""The command that answers the questions of a file, or abstains."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.commands.options import AsJson, ConfigPath, Overrides, home_path, load
from ensemble_uq_llm.printing import console_for, print_json
from ensemble_uq_llm.utils.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ensemble_uq_llm.inference.answer_stream import AnswerSummary


def answer(
    config: ConfigPath = None,
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE", parser=home_path, help="Questions: .jsonl, .csv, .tsv, .parquet.")
    ] = ...,  # type: ignore[assignment]  # typer's own way to say that an option is needed
    target_risk: Annotated[
        float | None,
        typer.Option(
            "--target-risk", metavar="SHARE", help="Abstain by this risk's certificate. [default: all are answered]"
        ),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(metavar="SHARE", help="That of the certificate. [default: the highest there is]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the answers; default: the file's name.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=home_path, help="The CSV file to write. [default: RUN/answers/NAME.csv]"),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Answer the questions of a file, or abstain where the promise of `decide` demands it.

    Writes one line a question: its class, how probable that is, whether it is answered, and why. Rows need no labels.
    A long file is answered a part at a time, and the same command goes on after a stop.
    """
    from ensemble_uq_llm.answering.answer_run import AnswersAsked, answer_run
    from ensemble_uq_llm.run_folder import RunFolder

    settings, console = load(config, overrides), console_for(as_json=as_json)
    asked = AnswersAsked(data=data, target_risk=target_risk, confidence=confidence, name=name, output=output)
    with telling_what_is_kept(RunFolder(settings.output_dir)):
        path, summary = answer_run(settings, asked, console=console)
    if as_json:
        print_json({"answers": str(path), **asdict(summary), "coverage": summary.coverage})
        return
    for line in (*_in_words(summary), f"answers in {path}"):
        console.print(line, soft_wrap=True)


def _in_words(summary: "AnswerSummary") -> "Iterator[str]":
    if summary.resumed_after:
        yield f"{counted(summary.resumed_after, 'row')} had been answered before."
    if summary.target_risk is None:
        yield f"{counted(summary.rows, 'question')}, all answered: no risk was named."
    else:
        kept = f"at most a share of {summary.target_risk:.4g} of the answers is wrong, with a confidence of"
        yield (
            f"{counted(summary.rows, 'question')}, {summary.answered:,} answered ({summary.coverage:.1%}): {kept} "
            f"{summary.confidence:.4g}, if these questions are of the calibration rows' kind."
        )
    if summary.temperature is None:
        yield "No decision.json is there, so the probabilities are as they are, without a temperature."
    shares = (f"{name} {count:,}" for name, count in summary.answered_by_class.items())
    yield f"Answered: {', '.join(shares)}."
