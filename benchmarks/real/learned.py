"""Whether a task was learned: said by intervals, not by eye."""

from typing import Any

from real.reading import EnsembleResults, TaskResults


def verdict(task: TaskResults, found: EnsembleResults) -> str:
    """Return whether an ensemble answers better than who does not look at the question.

    It does where its accuracy is surely above that of the class frequencies (paired on the same rows), and in multiple
    choice above guessing, too. Where only its NLL is below that of the frequencies, its probabilities say something.
    """
    compared = found.against.get("majority") or {}
    if not compared:
        return "not known: class frequencies not run"
    accuracy, nll = (compared["metrics"][name]["difference"] for name in ("accuracy", "nll"))
    beaten = _surely(accuracy, above=True)
    interval = found.metrics.ensemble["accuracy"].ci95
    guessing = task.guessing["accuracy"] if task.plan.is_choice and task.guessing else None
    if beaten and guessing is not None and (interval is None or interval[0] <= guessing):
        return f"no: accuracy not surely above guessing ({guessing:.1%})"
    if beaten:
        return "yes"
    if _surely(nll, above=False):
        return "in its probabilities only: accuracy not surely above the commonest class, NLL below the frequencies'"
    return "no: neither accuracy nor NLL surely better than the class frequencies"


def _surely(difference: dict[str, Any], *, above: bool) -> bool:
    interval = difference["ci95"]
    if interval is None:
        return False
    return bool(interval[0] > 0 if above else interval[1] < 0)
