import numpy as np
import pytest

from ensemble_uq_llm.evaluation.decisions.leaving.asked_in_order import asked_members, price_of_exit, trail_of
from ensemble_uq_llm.evaluation.decisions.leaving.certify_exit import TAUS, certify_exit, fewest_exit_rows
from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import ExitRule
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from small_predictions import predicted


def world(rng, rows, *, members=5, noise=0.5):
    """Members that see one logit through noise of their own."""
    logits_MN = 2 * rng.normal(size=rows) + noise * rng.normal(size=(members, rows))
    return np.stack([np.zeros_like(logits_MN), logits_MN], axis=-1)


def share_changed(logits_MNC, threshold):
    """The share of changed decisions at every tau, over so many rows that it is as good as known."""
    trail = trail_of(logits_MNC, threshold)
    return np.array([trail.changed(tau) / logits_MNC.shape[1] for tau in TAUS])


@pytest.mark.parametrize("threshold", [None, 0.15])
def test_the_promise_is_broken_as_rarely_as_it_says(threshold, rounds, tally):
    """Over calibration sets more than alpha of all decisions change at the certified tau in at most a tenth of them."""
    rng = np.random.default_rng(3)
    true_T = dict(zip(TAUS, share_changed(world(rng, 20_000), threshold), strict=True))
    sets, alpha = rounds(60, 2_000), 0.02
    found = [
        certify_exit(world(rng, 300), threshold=threshold, change_risk=alpha, confidence=0.9).tau for _ in range(sets)
    ]
    broken = sum(true_T[tau] > alpha for tau in found)
    planted = 0  # the boldest tau that looks right on the rows, as if there were no chance
    for _ in range(sets):
        shares = share_changed(world(rng, 300), threshold)
        looks_right = [tau for tau, share in zip(TAUS, shares, strict=True) if share <= alpha]
        planted += true_T[min(looks_right)] > alpha

    tally(f"{broken} of {sets} certificates of exit broken, {planted} where it looks right (threshold {threshold})")
    assert broken <= 0.1 * sets
    assert planted > 0.15 * sets, "the simulation can tell"
    assert any(tau < 1 for tau in found)


def test_too_few_rows_certify_nothing_and_the_next_row_does():
    needed = fewest_exit_rows(change_risk=0.01, confidence=0.9)
    assert needed == 230
    sure_MNC = np.stack([np.zeros((3, needed)), np.full((3, needed), 9.0)], axis=-1)
    few = certify_exit(sure_MNC[:, 1:], threshold=None, change_risk=0.01, confidence=0.9)
    enough = certify_exit(sure_MNC, threshold=None, change_risk=0.01, confidence=0.9)
    assert (few.tau, few.rows, few.changed) == (None, 229, 0)
    assert (enough.tau, enough.rows, enough.changed) == (0.0, 230, 0)


def test_the_price_is_counted_against_all_members():
    logits_MNC = predicted(n=400, members=6, noise=0.7).logits_MNC
    certificate = certify_exit(logits_MNC, threshold=None, change_risk=0.05, confidence=0.9)
    rule = ExitRule(members=6, tau=certificate.tau)
    price = price_of_exit(logits_MNC, rule)

    assert price.changed == certificate.changed
    assert price.changed_ci95[0] <= price.changed / 400 <= price.changed_ci95[1]
    assert price.members_asked == asked_members(np.exp(log_softmax(logits_MNC)), rule).mean()
    assert 2 <= price.members_asked < 6
    assert price.changed / 400 < 0.05
    exact = price_of_exit(logits_MNC, ExitRule(members=6))
    assert exact.changed == 0
    assert price.members_asked < exact.members_asked < 6
    assert all(0 < value < 1 for value in exact.epistemic_correlation.values())
    everybody = price_of_exit(logits_MNC, ExitRule(members=6, tau=1.0))
    assert everybody.members_asked == 6
    np.testing.assert_allclose(list(everybody.epistemic_correlation.values()), 1.0)


def test_scores_that_are_the_same_for_all_rows_have_no_correlation():
    alike_MNC = np.repeat(predicted(n=30, members=1).logits_MNC, 4, axis=0)
    assert set(price_of_exit(alike_MNC, ExitRule(members=4)).epistemic_correlation.values()) == {None}
