"""The command that answers the questions of a file, or abstains."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.commands.options import AsJson, ConfigPath, Overrides, home_path, load
from ensemble_uq_llm.printing import console_for, print_json
from ensemble_uq_llm.utils.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ensemble_uq_llm.evaluation.decisions.leaving.exit_plan import ExitKind
    from ensemble_uq_llm.inference.answer_stream import AnswerSummary


class Leaving(StrEnum):
    """When no further member is asked."""

    NONE = "none"
    EXACT = "exact"
    CERTIFIED = "certified"


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
    leave: Annotated[
        Leaving, typer.Option("--exit", help="Ask no further member once the decision stands, or hardly ever changes.")
    ] = Leaving.NONE,
    exit_changes: Annotated[
        float, typer.Option("--exit-changes", metavar="SHARE", help="At most this share of decisions may change.")
    ] = 0.01,
    exit_confidence: Annotated[
        float, typer.Option("--exit-confidence", metavar="SHARE", help="How sure that is, over calibration sets.")
    ] = 0.9,
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
    asked = AnswersAsked(
        data=data,
        target_risk=target_risk,
        confidence=confidence,
        exit=cast("ExitKind | None", None if leave is Leaving.NONE else leave.value),
        exit_changes=exit_changes,
        exit_confidence=exit_confidence,
        name=name,
        output=output,
    )
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
    if summary.exit is not None:
        yield from _exit_in_words(summary)
    shares = (f"{name} {count:,}" for name, count in summary.answered_by_class.items())
    yield f"Answered: {', '.join(shares)}."


def _exit_in_words(summary: "AnswerSummary") -> "Iterator[str]":
    """Yield what leaving early has saved, and what it costs, by the calibration rows."""
    leaving = summary.exit or {}
    yield f"Asked {summary.members_asked:.2f} of {counted(len(summary.members), 'member')} on average."
    certificate, price = leaving["certificate"], leaving["on_calibration_rows"]
    if certificate is None:
        yield "No decision is another than that of all members; the probabilities are those of the members asked."
    else:
        yield (
            f"At most a share of {certificate['change_risk']:.4g} of the decisions is another than that of all "
            f"members, with a confidence of {certificate['confidence']:.4g}."
        )
    if price is not None:
        low, high = price["changed_ci95"]
        yield (
            f"  Of {counted(price['rows'], 'calibration row')} {price['changed']:,} were decided otherwise (95% "
            f"interval {low:.2%} to {high:.2%}), with {price['members_asked']:.2f} members asked on average."
        )
        ranks = (
            f"{name} {'-' if rank is None else f'{rank:.2f}'}" for name, rank in price["epistemic_correlation"].items()
        )
        yield f"  Rank correlation of the scores of disagreement with those of all members: {', '.join(ranks)}."
