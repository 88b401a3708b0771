"""How often a certificate's promise is broken, where the true risk of every threshold is known."""

import numpy as np
import pytest
import scipy.stats

from ensemble_uq_llm.evaluation.decisions.abstention.certify import certify
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import Answered, largest_answered
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import LabelledScores, labelled_scores
from small_predictions import predicted

DELTA = 0.1
CURVES = {
    "linear": lambda u: 0.2 * u,
    "steep": lambda u: 0.4 * u**4,
    "flat": lambda u: np.full_like(u, 0.1),
    "waves": lambda u: 0.08 + 0.07 * np.sin(14 * u),
    "turned waves": lambda u: 0.08 - 0.07 * np.sin(14 * u),
    "falling": lambda u: 0.2 * (1 - u),
}
"""The probability of an error by the rank of the score, which is uniform."""

_FINE = 4000


def true_risks(curve):
    """The risk of answering all scores up to each of the fine steps."""
    at = (np.arange(_FINE) + 0.5) / _FINE
    return np.append(curve(at[:1]), np.cumsum(curve(at)) / np.arange(1, _FINE + 1))


def broken(certifier, curve, *, n, share, simulations, levels=None, seed=0):
    """How many certificates answer with a higher risk than they promise; `levels` scores are all that there are."""
    rng, risks = np.random.default_rng(seed), true_risks(curve)
    target, found = share * risks[-1], 0
    for _ in range(simulations):
        u_N = rng.random(n)
        wrong_N = rng.random(n) < curve(u_N)
        answered = certifier(u_N if levels is None else np.floor(u_N * levels) / levels, wrong_N, target)
        if answered is not None:
            reach = min(1.0, answered.threshold)
            reach = reach if levels is None else min(1.0, (np.floor(reach * levels + 1e-9) + 1) / levels)
            found += bool(np.interp(reach, np.arange(_FINE + 1) / _FINE, risks) > target + 1e-9)
    return found


def allowed(simulations, share=DELTA):
    """More are broken of a kept promise in one test of ten thousand."""
    return scipy.stats.binom.ppf(0.9999, simulations, share)


def certified(scores_N, wrong_N, target):
    return largest_answered(scores_N, wrong_N, target_risk=target, delta=DELTA)


def thresholds(scores_N, wrong_N):
    for k in np.unique(np.linspace(0.1, 1, 37) * len(scores_N)).astype(int):
        order = np.argsort(scores_N)[:k]
        yield Answered(threshold=float(scores_N[order[-1]]), rows=int(k), wrong=int(wrong_N[order].sum()))


def plug_in(scores_N, wrong_N, target):
    """The threshold that looks right."""
    return max((each for each in thresholds(scores_N, wrong_N) if each.wrong <= target * each.rows),
               key=lambda each: each.rows, default=None)  # fmt: skip


def without_multiplicity(scores_N, wrong_N, target):
    """Every threshold is tested as if it were the only one."""
    return max((each for each in thresholds(scores_N, wrong_N)
                if scipy.stats.binom.cdf(each.wrong, each.rows, target) <= DELTA),
               key=lambda each: each.rows, default=None)  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_promises_are_broken_at_most_as_often_as_they_say(name, rounds, tally):
    simulations, worst = rounds(100, 10_000), 0
    for n, share, levels in ((750, 0.5, None), (200, 0.75, None), (750, 0.75, 8), (750, 0.999, None)):
        count = broken(certified, CURVES[name], n=n, share=share, simulations=simulations, levels=levels)
        assert count <= allowed(simulations), (n, share, levels)
        worst = max(worst, count)
    tally(f"{name}: {worst} of {simulations} promises broken at most, where {DELTA:.0%} may be")


@pytest.mark.parametrize(("wrong", "curve", "share"), [(plug_in, "steep", 0.75), (without_multiplicity, "flat", 0.999)])
def test_a_wrong_certificate_is_caught(wrong, curve, share, rounds, tally):
    simulations = rounds(150, 2000)
    count = broken(wrong, CURVES[curve], n=750, share=share, simulations=simulations)
    assert count > allowed(simulations)
    tally(f"{wrong.__name__}: {count} of {simulations} broken, which is seen")


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_every_score_of_an_ensemble_keeps_its_promise(share, rounds, tally):
    """Calibration rows are drawn from a world of 4,000 rows with replacement, so that every risk in it is known."""
    simulations, world = rounds(60, 2000), labelled_scores(predicted(n=4000, members=5, noise=0.7))
    target, rng = share * world.wrong_N.mean(), np.random.default_rng(0)
    counts = dict.fromkeys([*world.scores, "any", "best"], 0)
    tries = {score: simulations // 10 if score == "best" else simulations for score in counts}  # its choice is slow
    for turn in range(simulations):
        drawn = world.take(rng.integers(4000, size=1000))
        for score in (each for each in counts if turn < tries[each]):
            certificate = certify(drawn, target_risk=target, confidence=1 - DELTA, score=score)
            answered_N = certificate.answers(world.scores[certificate.score])
            counts[score] += bool(answered_N.any() and world.wrong_N[answered_N].mean() > target)
    assert [score for score in counts if counts[score] > allowed(tries[score])] == [], counts
    worst = max(counts.values())
    tally(f"target {share:g} of the error: {worst} of {simulations} broken at most, of eleven choices")


def test_groups_keep_their_promises_together(rounds, tally):
    simulations, broken_once = rounds(60, 5000), 0
    for seed in range(simulations):
        rng = np.random.default_rng(seed)
        u_N, groups = rng.random(900), rng.integers(3, size=900)
        wrong_N = rng.random(900) < (0.2 + 0.1 * groups) * u_N**2
        names = tuple(map(str, groups.tolist()))
        labelled = LabelledScores(scores={"entropy": u_N}, wrong_N=wrong_N, by="group", groups_N=names, column="g")
        certificate = certify(labelled, target_risk=0.06, confidence=1 - DELTA, score="entropy")
        broken_once += any(
            each.threshold is not None and (0.2 + 0.1 * int(each.group)) * min(1, each.threshold) ** 2 / 3 > 0.06
            for each in certificate.groups
        )
    assert broken_once <= allowed(simulations)
    tally(f"groups: {broken_once} of {simulations} broke a promise of one of three groups")
