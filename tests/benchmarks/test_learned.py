from types import SimpleNamespace

import pytest

from real.learned import verdict
from real.plans import ANSWER, CLASSIFICATION, Plan
from real.reading import EnsembleResults, TaskResults

BETTER, UNCLEAR, WORSE = (0.02, 0.2), (-0.1, 0.1), (-0.2, -0.02)


def said(accuracy, nll, *, interval=(0.4, 0.6), loss=(1.2, 1.3), guessing=None) -> str:
    heads = (CLASSIFICATION, ANSWER) if guessing is None else (ANSWER,)
    plan = Plan(task="any", train_file="", test_file="", split="test", train_rows=1, heads=heads)
    differences = {name: {"difference": {"ci95": each}} for name, each in (("accuracy", accuracy), ("nll", nll))}
    found = EnsembleResults(
        metrics=SimpleNamespace(
            ensemble={"accuracy": SimpleNamespace(ci95=interval), "nll": SimpleNamespace(ci95=loss)}
        ),
        against={"majority": {"metrics": differences}},
        mean_member={},
        record={},
    )
    guessed = None if guessing is None else {"accuracy": guessing, "nll": 1.386}
    return verdict(TaskResults(plan=plan, guessing=guessed), found)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"accuracy": BETTER, "nll": UNCLEAR}, "yes"),
        ({"accuracy": BETTER, "nll": WORSE}, "yes"),
        ({"accuracy": UNCLEAR, "nll": WORSE}, "in its probabilities only"),
        ({"accuracy": UNCLEAR, "nll": UNCLEAR}, "no: neither"),
        ({"accuracy": WORSE, "nll": BETTER}, "no: neither"),
        ({"accuracy": None, "nll": None}, "no: neither"),
        ({"accuracy": BETTER, "nll": WORSE, "guessing": 0.25}, "yes"),
        ({"accuracy": BETTER, "nll": WORSE, "guessing": 0.45}, "no: accuracy not surely above guessing (45.0%)"),
        ({"accuracy": BETTER, "nll": WORSE, "guessing": 0.25, "interval": None}, "no: accuracy not surely above"),
        ({"accuracy": UNCLEAR, "nll": WORSE, "guessing": 0.45}, "in its probabilities only"),
        ({"accuracy": UNCLEAR, "nll": WORSE, "guessing": 0.45, "loss": (1.3, 1.4)}, "no: NLL surely below the freq"),
        ({"accuracy": UNCLEAR, "nll": WORSE, "guessing": 0.45, "loss": None}, "no: NLL surely below the frequencies'"),
    ],
)
def test_learned_is_what_intervals_say(case, words):
    assert said(**case).startswith(words)


def test_without_the_class_frequencies_nothing_is_said():
    found = EnsembleResults(metrics=SimpleNamespace(ensemble={}), against={"majority": {}}, mean_member={}, record={})
    plan = Plan(task="any", train_file="", test_file="", split="test", train_rows=1)
    assert verdict(TaskResults(plan=plan), found) == "not known: class frequencies not run"
