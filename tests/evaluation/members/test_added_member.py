import re

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.members.added_member import SLIGHT, added_members, slight_from
from ensemble_uq_llm.evaluation.members.size_curve import size_curve
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.statistics.intervals import Comparison

QUALITY = [metric for metric in METRICS if metric.name in ("accuracy", "nll", "brier")]


def world(members, *, examples=500, noise=1.0, seed=0, harm=False):
    """Members that see the same log-odds, each through noise of its own; or of whom one outvotes the others."""
    rng = np.random.default_rng(seed)
    log_odds_N = 1.5 * rng.normal(size=examples)
    labels_N = (rng.random(examples) < 1 / (1 + np.exp(-log_odds_N))).astype(np.int64)
    seen_MN = log_odds_N + noise * rng.normal(size=(members, examples))
    if harm:
        # Two members are right, if unsure; the third is sure, and wrong in a fifth of the examples.
        right_N = np.where(labels_N == 1, 1.0, -1.0)
        wrong_N = np.where(rng.random(examples) < 0.2, -right_N, right_N)
        seen_MN = np.stack([0.2 * right_N, 0.5 * right_N, 4 * wrong_N])
    return log_softmax(np.stack([np.zeros_like(seen_MN), seen_MN], axis=-1)), labels_N


def answered(log_probs_MNC, labels_N, *, draws=200, seed=0):
    return size_curve(log_probs_MNC, labels_N, QUALITY, rng=np.random.default_rng(seed), draws=draws, seed=seed)


@pytest.mark.parametrize("members", [2, 3, 5, 8])
def test_copies_of_one_member_are_never_needed(members):
    log_probs_MNC, labels_N = world(1)
    got = answered(np.repeat(log_probs_MNC, members, axis=0), labels_N)

    assert got.slight_from == 1
    assert got.answer.startswith("A second member lowers the NLL by less than 0.001 (95% interval 0.00000 to 0.00000).")
    assert got.answer.endswith("together answer more correctly than one cannot be told from 500 examples.")
    assert {change.p_value for change in got.added["accuracy"]} == {1.0}


def test_the_gain_of_members_of_independent_noise_is_found():
    """Every further one of six helps, and the intervals say so."""
    found = 0
    for seed in range(20):
        got = answered(*world(6, seed=seed), seed=seed)
        found += got.slight_from is None and got.answer.startswith("The last of 6 still lowers the NLL by 0.00")
        assert all(-change.ci95[1] > SLIGHT for change in got.added["nll"][:3])
    assert found >= 19


def test_the_gain_is_that_of_a_hundred_thousand_examples():
    """Intervals of the first and of the last gain over 60 sets: more than 10 that miss come once in a thousand."""
    true = answered(*world(4, examples=100_000, seed=99), draws=0).added["nll"]
    held = np.zeros(2)
    for seed in range(60):
        got = answered(*world(4, seed=seed), draws=100, seed=seed).added["nll"]
        held += [got[k].ci95[0] <= true[k].value <= got[k].ci95[1] for k in (0, -1)]
    assert (held >= 50).all(), held


def test_where_few_examples_cannot_tell_it_is_said():
    answers = [answered(*world(4, examples=40, noise=0.4, seed=seed), seed=seed).answer for seed in range(20)]
    untold = [
        answer
        for answer in answers
        if re.match(r"That more than \d members lower the NLL by 0.001 or more each", answer)
    ]

    assert untold
    assert all("cannot be told from 40 examples (95% interval 0.0" in answer for answer in untold)


def test_from_some_size_on_little_is_gained():
    got = answered(*world(8, noise=0.5))

    assert 1 < got.slight_from < 8
    assert got.answer.startswith(
        f"From {got.slight_from} members on, a further one lowers the NLL by less than 0.001 ("
    )


def test_two_of_two_are_not_called_all_needed():
    got = answered(*world(2))

    assert got.answer.startswith("The second still lowers the NLL by 0.0")
    assert "with both." in got.answer
    assert "needed" not in got.answer


def test_harm_is_said():
    got = answered(*world(3, harm=True))

    said = re.search(r"All 3 together answer ([\d.]+) points less correctly than one does \(95% interval ", got.answer)
    assert float(said[1]) > 5
    assert "two-sided p < 0.01)" in got.answer


def test_in_accuracy_members_that_are_equally_good_rarely_seem_better():
    """Two sets of answers, right equally often: 60 sets of examples, of which more than 8 alarm once in a thousand."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        wrong_2N = (rng.random((2, 200)) < 0.2).astype(float)
        added = added_members((1, 2), {"accuracy": 1 - wrong_2N}, draws=100, seed=seed)
        alarms += added.whole["accuracy"].p_value < 0.05
    assert alarms <= 8


@pytest.mark.parametrize(("examples", "draws"), [(19, 100), (2, 100), (100, 0)])
def test_without_evidence_nothing_is_said(examples, draws):
    got = answered(*world(3, examples=examples), draws=draws)

    assert got.slight_from is None
    assert got.answer.startswith(("Fewer than 20 labelled examples tell nothing of it (NLL", "Without bootstrap draws"))


def test_one_member_is_all_there_is():
    got = answered(*world(1))

    assert got.answer == "There is one member only, so nothing can be said of smaller ensembles."
    assert (got.added["nll"], got.slight_from) == ((), None)


def test_what_cannot_grow_by_pooling_has_no_p_value():
    got = answered(*world(3))

    assert {change.p_value for name in ("nll", "brier") for change in got.added[name]} == {None}
    assert None not in {change.p_value for change in got.added["accuracy"]}


@pytest.mark.parametrize(
    ("lows", "size"),
    [
        ([-0.02, -0.0009, -0.0002], 2),
        ([-0.0009] * 3, 1),
        ([-0.0009, -0.0002, -0.001], None),
        ([-0.002, -0.002, 0.0], 3),
    ],
)
def test_slight_from_is_where_all_further_gains_are_slight(lows, size):
    steps = [Comparison(value=low / 2, ci95=(low, 0.0), p_value=None) for low in lows]
    assert slight_from((1, 2, 3, 4), steps) == size
