from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.quality.metrics import metrics_for, summed_for
from ensemble_uq_llm.evaluation.quality.residual_sums import ECE
from ensemble_uq_llm.evaluation.quality.true_error import ErrorLaw, Ladder, compare_errors, error_laws

KINDS = summed_for(metrics_for(2))


def overconfident(n, seed, *, sharper=1.0):
    """Two classes, labels from the probabilities, of which the log-odds are then multiplied."""
    rng = np.random.default_rng(seed)
    log_odds_N = 1.5 * rng.normal(size=n)
    labels_N = (rng.random(n) < 1 / (1 + np.exp(-log_odds_N))).astype(int)
    said_N = sharper * log_odds_N
    return np.stack([-np.logaddexp(0, said_N), -np.logaddexp(0, -said_N)], axis=1), labels_N


def laws_of(n, seed, *, sharper=1.0, draws=120, kinds=KINDS):
    log_probs_NC, labels_N = overconfident(n, seed, sharper=sharper)
    return error_laws({"it": log_probs_NC}, labels_N, kinds, draws=draws, seed=seed)["it"]


def true_ece(sharper, n=400_000):
    log_probs_NC, _ = overconfident(n, 99, sharper=sharper)
    truth_NC, _ = overconfident(n, 99)
    top_N = log_probs_NC.argmax(axis=1)
    gap_N = (np.exp(log_probs_NC) - np.exp(truth_NC))[np.arange(n), top_N]
    bins_N = np.minimum((np.exp(log_probs_NC.max(axis=1)) * 15).astype(int), 14)
    return np.abs(np.bincount(bins_N, gap_N)).sum() / n


@pytest.mark.parametrize(("sharper", "n"), [(1.0, 200), (1.3, 500), (2.0, 500)])
def test_the_interval_holds_the_true_error(sharper, n):
    # At 95% fewer than 33 of 40 have a probability of 0.1%; the interval of the value as it is held 2 of 40 at first.
    true = true_ece(sharper) if sharper > 1 else 0.0
    estimates = [laws_of(n, seed, sharper=sharper, kinds={"ece": ECE})["ece"].estimate() for seed in range(40)]

    assert sum(each.ci95[0] <= true <= each.ci95[1] for each in estimates) >= 33
    floor = np.mean([laws_of(n, seed, kinds={"ece": ECE})["ece"].observed for seed in range(10)])
    assert abs(np.mean([each.value for each in estimates]) - true) < floor / 2
    assert all(each.ci95[0] <= each.value <= each.ci95[1] for each in estimates)


def test_sets_of_other_size_seldom_differ():
    # At 5% more than 3 of 12 false alarms have a probability of 0.2%; compared as they are, there were 7 and more.
    alarms = dict.fromkeys(KINDS, 0)
    for seed in range(12):
        large, small = laws_of(1500, seed, draws=60), laws_of(200, 1000 + seed, draws=60)
        for name in KINDS:
            alarms[name] += compare_errors(small[name], large[name], paired=False).p_value < 0.05
    assert max(alarms.values()) <= 3, alarms


def test_the_two_ways_round_are_mirrored():
    a, b = laws_of(500, 1, sharper=3.0)["ece"], laws_of(500, 1)["ece"]
    one, other = compare_errors(a, b), compare_errors(b, a)

    assert one.value == -other.value > 0
    assert one.ci95 == pytest.approx([-other.ci95[1], -other.ci95[0]], abs=1e-3)
    assert one.p_value == other.p_value < 0.05


def test_the_interval_excludes_0_where_the_p_value_is_below_the_level():
    for seed in range(6):
        a, b = laws_of(250, seed, sharper=1.5)["ece"], laws_of(250, seed)["ece"]
        difference = compare_errors(a, b)
        excluded = difference.ci95[0] > 0 or difference.ci95[1] < 0
        assert excluded == (difference.p_value < 0.05)


def test_no_p_value_is_below_what_the_draws_can_tell():
    far = compare_errors(laws_of(2000, 0, sharper=4.0, draws=50)["ece"], laws_of(2000, 0, draws=50)["ece"])

    assert far.p_value == pytest.approx(2 / 51)


def test_few_examples_say_nothing_of_a_difference():
    a, b = laws_of(19, 0, sharper=3.0)["ece"], laws_of(19, 1)["ece"]

    assert a.estimate().ci95 is None
    difference = compare_errors(a, b)
    assert (difference.ci95, difference.p_value) == (None, None)
    assert compare_errors(a, a).value == 0.0
    assert laws_of(20, 0)["ece"].estimate().ci95 is not None


def test_an_error_on_a_ladder_of_its_own():
    """Errors that are the true one plus 1 and standard normal noise: everything is known in closed form."""
    noise_D = np.random.default_rng(0).normal(size=5_000)
    true_G = np.linspace(0, 20, 11)
    ladder = Ladder(true_G=true_G, draws_GD=true_G[:, None] + 1 + noise_D)
    law = ErrorLaw(n=100, observed=9.0, ladders=(ladder, ladder), degree=1, largest=20.0)

    assert law.value == pytest.approx(8, abs=0.05)
    assert law.estimate().ci95 == pytest.approx([8 - 1.96, 8 + 1.96], abs=0.12)
    other = replace(law, observed=6.0)
    difference = compare_errors(law, other, paired=False)
    assert difference.value == pytest.approx(3, abs=0.05)
    assert difference.ci95 == pytest.approx([3 - 1.96 * np.sqrt(2), 3 + 1.96 * np.sqrt(2)], abs=0.25)
    assert difference.p_value == pytest.approx(0.0339 + 0.001, abs=0.012)  # 2 * (1 - Phi(3 / sqrt(2)))


def certain(labels_N):
    log_probs_NC = np.tile([0.0, -800.0], (len(labels_N), 1))
    return error_laws({"it": log_probs_NC}, labels_N, KINDS, draws=200, seed=0)["it"]


def test_a_perfect_record_is_no_certainty_and_no_error_is_beyond_1():
    for name, law in certain(np.zeros(50, dtype=int)).items():
        estimate = law.estimate()
        assert (estimate.value, estimate.ci95[0]) == (0.0, 0.0)
        # Without a mistake in 50 the share of mistakes may be up to 7% (Clopper and Pearson 1934).
        share = estimate.ci95[1] ** (1 / law.degree)
        assert 0.05 < share < 0.2, name
    for law in certain(np.ones(50, dtype=int)).values():
        estimate = law.estimate()
        assert estimate.value == pytest.approx(1.0, abs=0.05)
        assert 0.6**law.degree < estimate.ci95[0] < estimate.ci95[1] <= 1.0


def test_the_mean_and_the_least_of_several():
    laws = [laws_of(200, 3, sharper=sharper, draws=30)["ece"] for sharper in (1.0, 1.5, 2.0)]
    mean, least = ErrorLaw.mean_of(laws), ErrorLaw.least_of(laws)

    assert mean.observed == pytest.approx(np.mean([law.observed for law in laws]))
    assert least.observed == min(law.observed for law in laws)
    assert (least.ladders[0].draws_GD <= mean.ladders[0].draws_GD).all()


def test_without_draws_there_are_no_laws():
    assert laws_of(30, 0, draws=0) == {}
