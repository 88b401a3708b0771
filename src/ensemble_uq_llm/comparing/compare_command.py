"""`compare`: two runs in full, and up to twenty beside each other. It works without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble_uq_llm.commands.options import AsJson, Draws, Seed, home_path
from ensemble_uq_llm.commands.targets import check_exists
from ensemble_uq_llm.comparing.compared_names import baseline_first
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.evaluation_commands import Classes, Columns, Format, checked_format, reading_of
from ensemble_uq_llm.printing import console_for, print_json, print_tables

if TYPE_CHECKING:
    from ensemble_uq_llm.evaluation.records import RunComparison, RunsBeside


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            parser=home_path,
            help="Up to 20 run folders, or predictions of any origin, of the same examples; each is compared with the "
            "first.",
        ),
    ],
    name: Annotated[str, typer.Option(help="The predicted set to compare, of run folders.")] = "validation",
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Which of the runs the others are compared with.")
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option("--shift", metavar="NAME", help="A predicted set that is shifted, of run folders; repeatable."),
    ] = None,
    columns: Columns = None,
    classes: Classes = None,
    draws: Draws = None,
    seed: Seed = None,
    table_format: Format = None,
    as_json: AsJson = False,
) -> None:
    """Say whether one run is better than another, or any of several than a baseline.

    What each run is and costs, how good it is, also after a temperature, and how well its uncertainty tells shifted
    sets; the differences from the baseline on the same examples, with 95% intervals and p-values that are adjusted
    (Holm) for the number of runs. Of two runs, every metric.
    """
    from ensemble_uq_llm.comparing.runs_to_compare import compare_pair, read_runs
    from ensemble_uq_llm.evaluation.beside.many_runs import compare_many
    from ensemble_uq_llm.evaluation.comparison import adjusted_together
    from ensemble_uq_llm.statistics.bootstrap import DRAWS

    form, as_json = checked_format(table_format, as_json=as_json)
    if len(runs) < 2:
        raise ConfigError(f"compare: only {runs[0]} is given; name the runs to compare with it, too")
    for each in runs:
        check_exists(each)
    runs = baseline_first(runs, baseline)
    sides = read_runs(runs, name=name, shifts=shift or (), **reading_of(columns, classes))
    how: dict[str, Any] = {"draws": DRAWS if draws is None else draws, "seed": seed or 0}
    table = None if form == "csv" else compare_many(sides, **how)
    # On a screen every metric of every pair would bury the table; programs and papers take what they need.
    are_told = len(runs) == 2 or as_json or form is not None
    pairs = [compare_pair(sides[0], other, **how) for other in sides[1:]] if are_told else []
    pairs = adjusted_together(pairs) if len(pairs) > 1 else pairs
    _show([str(path) for path in runs], table, pairs, form, as_json=as_json)


def _show(
    paths: Sequence[str],
    table: "RunsBeside | None",
    pairs: "Sequence[RunComparison]",
    form: str | None,
    *,
    as_json: bool,
) -> None:
    from ensemble_uq_llm.evaluation.beside.table_json import table_json
    from ensemble_uq_llm.evaluation.comparison import comparison_json
    from ensemble_uq_llm.report.paste_comparison import comparison_plain
    from ensemble_uq_llm.report.runs_table import runs_plain, runs_tables
    from ensemble_uq_llm.report.terminal import comparison_table

    a, *others = paths
    if as_json and table is not None:
        contents = [{"a": a, "b": b, **comparison_json(pair)} for b, pair in zip(others, pairs, strict=True)]
        beside = {"table": table_json(table)}
        print_json({**contents[0], **beside} if len(contents) == 1 else {"a": a, "against": contents, **beside})
    elif form is not None:
        plain = [comparison_plain(a, b, pair, raw=form == "csv") for b, pair in zip(others, pairs, strict=True)]
        print_tables([*(runs_plain(table) if table is not None else ()), *plain], form)
    elif table is not None:
        console = console_for(as_json=False)
        console.print(runs_tables(table))
        for b, pair in zip(others, pairs, strict=False):
            console.print(f"A: {a}\nB: {b}", soft_wrap=True)
            console.print(comparison_table(pair))
