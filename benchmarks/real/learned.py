"""Whether a task was learned: said by intervals, not by eye."""

from typing import Any

from real.reading import EnsembleResults, TaskResults


def verdict(task: TaskResults, found: EnsembleResults) -> str:
    """Return whether an ensemble answers better than who does not look at the question.

    It does where its accuracy is surely above that of the class frequencies (paired on the same rows), and in multiple
    choice above guessing, too. Where only its NLL is below that of the frequencies, and of guessing, its probabilities
    say something.
    """
    compared = found.against.get("majority") or {}
    if not compared:
        return "not known: class frequencies not run"
    accuracy, nll = (compared["metrics"][name]["difference"] for name in ("accuracy", "nll"))
    beaten = _surely(accuracy, above=True)
    guessing = task.guessing if task.plan.is_choice else None
    correct, loss = (found.metrics.ensemble[name].ci95 for name in ("accuracy", "nll"))
    if beaten and guessing and (correct is None or correct[0] <= guessing["accuracy"]):
        return f"no: accuracy not surely above guessing ({guessing['accuracy']:.1%})"
    if beaten:
        return "yes"
    if _surely(nll, above=False) and guessing and (loss is None or loss[1] >= guessing["nll"]):
        return f"no: NLL surely below the frequencies', but not below guessing ({guessing['nll']:.3f})"
    if _surely(nll, above=False):
        return "in its probabilities only: accuracy not surely above the commonest class, NLL below the frequencies'"
    return "no: neither accuracy nor NLL surely better than the class frequencies"


def _surely(difference: dict[str, Any], *, above: bool) -> bool:
    interval = difference["ci95"]
    if interval is None:
        return False
    return bool(interval[0] > 0 if above else interval[1] < 0)
