"""What a table of several runs says, in sentences."""

from collections.abc import Iterator

from ensemble_uq_llm.evaluation.beside.after_temperature import FOLDS
from ensemble_uq_llm.evaluation.beside.quantities import quantities
from ensemble_uq_llm.evaluation.records import RunsBeside
from ensemble_uq_llm.utils.text import counted, enumerated


def names_in_words(table: RunsBeside) -> Iterator[str]:
    """Yield where each run lies, where its name does not say that."""
    for run in table.runs:
        if run.facts.path not in (None, run.facts.name):
            yield f"{run.facts.name}: {run.facts.path}"


def fitting_in_words(table: RunsBeside) -> Iterator[str]:
    """Yield on what the temperatures are fitted."""
    if table.temperature == "calibration split":
        rows = sorted({run.calibration_rows for run in table.runs})
        said = counted(rows[0], "row") if len(rows) == 1 else f"{rows[0]:,} to {counted(rows[-1], 'row')}"
        yield f"NLL after T: with one temperature on the pooled probability, fitted on each calibration split ({said})."
    elif table.temperature == "cross-fitted":
        yield (
            f"NLL after T: with one temperature on the pooled probability, cross-fitted: each of {FOLDS} folds of the "
            "examples is judged by the temperature of the others."
        )


def one_member_in_words(table: RunsBeside) -> str:
    """Return the title of the table of single members."""
    are_samples = [run.facts.samples is not None for run in table.runs if run.one_member]
    which = "sample" if all(are_samples) else "member or sample" if any(are_samples) else "member"
    return f"One {which} alone, one pass: the mean over all of a run's"


def claims_in_words(table: RunsBeside) -> Iterator[str]:
    """Yield what may be said of every run beside the baseline, and what the p-values allow for."""
    baseline, *others = table.runs
    titles = {each.name: each.title for each in quantities(table.shifted)}
    for run in others:
        won = {
            how: [titles[name] for name, each in run.differences.items() if each.is_better is is_better]
            for how, is_better in (("better", True), ("worse", False))
        }
        said = [f"{how} in {enumerated(names)}" for how, names in won.items() if names]
        what = f"is {' and '.join(said)}" if said else "is not told apart"
        yield f"{run.facts.name} {what}{' than' if said else ' from'} {baseline.facts.name}."
    yield (
        f"p-values are two-sided and adjusted for {counted(len(others), 'run')} (Holm), each metric by itself; "
        "differences of ECE are those of the errors without noise."
    )
