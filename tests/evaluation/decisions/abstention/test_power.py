import numpy as np
import pytest

from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import largest_answered
from ensemble_uq_llm.evaluation.decisions.abstention.power import ENOUGH, power_curve


def world(n, seed):
    rng = np.random.default_rng(seed)
    scores_N = rng.random(n)
    return scores_N, rng.random(n) < 0.3 * scores_N**2


def test_so_many_fresh_rows_as_it_says_do_nearly_as_often():
    curve = power_curve(*world(400, 0), target_risk=0.03, delta=0.1)
    certified = [
        largest_answered(*world(curve.enough, seed), target_risk=0.03, delta=0.1) is not None for seed in range(1, 101)
    ]

    assert curve.points[-1].rows == curve.enough > 400
    assert curve.points[-1].certified >= ENOUGH > curve.points[0].certified
    assert np.mean(certified) == pytest.approx(curve.points[-1].certified, abs=0.25)


def test_a_risk_that_no_threshold_shows_needs_no_simulation():
    scores_N = np.linspace(0, 1, 300)
    curve = power_curve(scores_N, np.arange(300) % 3 == 0, target_risk=0.05, delta=0.1)

    assert (curve.enough, curve.points, curve.fewest) == (None, (), 77)


def test_it_is_the_same_every_time():
    one, other = (power_curve(*world(100, 0), target_risk=0.03, delta=0.1) for _ in range(2))
    assert one == other
