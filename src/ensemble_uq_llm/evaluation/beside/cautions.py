"""What to know before reading a table of several runs, in words."""

from collections.abc import Collection, Iterator, Sequence

from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
from ensemble_uq_llm.evaluation.records import Fitting
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES, SIGNIFICANCE_LEVEL
from ensemble_uq_llm.utils.text import counted, enumerated


def cautions_of_table(
    runs: Sequence[ComparedRun], fitting: Fitting | None, *, sets: Collection[str], draws: int
) -> tuple[str, ...]:
    """Return what is to be known of the runs together: unequal costs, temperatures of two kinds, too few draws."""
    of_temperature, of_draws = _of_temperature(runs, fitting), _of_draws(len(runs) - 1, draws)
    return (*_of_passes(runs), *of_temperature, *of_draws, *_of_scores(runs, sets))


def _of_passes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    of_passes: dict[int, list[str]] = {}
    for run in runs:
        of_passes.setdefault(run.facts.passes, []).append(run.name)
    if len(of_passes) > 1:
        said = [f"{counted(passes, 'pass', 'passes')} of {enumerated(names)}" for passes, names in of_passes.items()]
        yield f"unequal cost at test time: {', against '.join(said)}; methods are compared at equal passes"


def _of_temperature(runs: Sequence[ComparedRun], fitting: Fitting | None) -> Iterator[str]:
    without = [run.name for run in runs if not run.calibration_rows]
    if fitting is None:
        yield (
            f"no temperature is fitted: not every run has a calibration split, and of fewer than {FEWEST_EXAMPLES} "
            "examples none can be spared for it"
        )
    elif fitting == "cross-fitted" and len(without) < len(runs):
        yield f"{enumerated(without)}: without a calibration split, so the temperatures of all are cross-fitted"


def _of_draws(others: int, draws: int) -> Iterator[str]:
    needed = int(2 * others / SIGNIFICANCE_LEVEL) + 1  # the smallest p-value, 2 / (draws + 1), times the runs
    if 0 < draws < needed:
        yield (
            f"{draws:,} draws tell no difference of {counted(others, 'run')} from chance after the adjustment; ask for "
            f"--draws {needed:,} or more"
        )


def _of_scores(runs: Sequence[ComparedRun], sets: Collection[str]) -> Iterator[str]:
    alone = [run.name for run in runs if run.facts.passes == 1]
    if sets and alone:
        yield f"{enumerated(alone)}: one pass disagrees with nobody, so there is no mutual information"
