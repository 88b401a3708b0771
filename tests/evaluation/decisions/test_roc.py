import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.evaluation.decisions.roc import STRETCHES, roc_curve, shift_roc_curves
from ensemble_uq_llm.evaluation.decisions.shift import measure_shift
from ensemble_uq_llm.evaluation.measured import Measured
from small_predictions import predicted

examples = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({positive for _, positive in pairs}) == 2
)


def arrays(pairs):
    scores, positive = zip(*pairs, strict=True)
    return np.array(scores, dtype=np.float64), np.array(positive)


def noisy(n, *, levels=None, seed=0):
    rng = np.random.default_rng(seed)
    positive_N = rng.random(n) < 0.1
    scores_N = rng.normal(size=n) + positive_N
    return (scores_N if levels is None else (scores_N * levels).round()), positive_N


def area(curve):
    return np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)


@given(examples)
def test_a_short_curve_is_that_of_scikit_learn(pairs):
    scores_N, positive_N = arrays(pairs)
    curve = roc_curve(scores_N, positive_N)
    false, true, _ = sklearn.metrics.roc_curve(positive_N, scores_N, drop_intermediate=False)

    assert curve.false_positive_rate == pytest.approx(false)
    assert curve.true_positive_rate == pytest.approx(true)


@given(examples, st.integers(1, 5))
def test_the_area_is_the_auroc_however_much_the_curve_is_thinned(pairs, stretches):
    scores_N, positive_N = arrays(pairs)
    curve = roc_curve(scores_N, positive_N, stretches=stretches)

    assert len(curve.false_positive_rate) <= 2 * stretches + 1
    assert area(curve) == pytest.approx(sklearn.metrics.roc_auc_score(positive_N, scores_N), abs=1e-12)
    assert (np.diff(curve.false_positive_rate) >= -1e-12).all()
    assert (np.diff(curve.true_positive_rate) >= -1e-12).all()


@pytest.mark.parametrize("levels", [None, 20, 1])
def test_a_thinned_curve_lies_near_the_whole_one(levels):
    scores_N, positive_N = noisy(5000, levels=levels)
    curve = roc_curve(scores_N, positive_N)
    false, true, _ = sklearn.metrics.roc_curve(positive_N, scores_N, drop_intermediate=False)

    assert len(curve.false_positive_rate) <= 2 * STRETCHES + 1
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0.0, 0.0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1.0, 1.0)
    assert area(curve) == pytest.approx(sklearn.metrics.roc_auc_score(positive_N, scores_N), abs=1e-12)
    # Along the falling diagonal no point is further away than a stretch is long.
    along = np.interp(
        np.add(false, true), np.add(curve.false_positive_rate, curve.true_positive_rate), curve.true_positive_rate
    )
    assert np.abs(along - true).max() <= 2 / STRETCHES


@pytest.mark.parametrize("positive", [True, False])
def test_where_there_is_nothing_to_tell_apart_there_is_no_curve(positive):
    assert roc_curve(np.array([0.1, 0.2]), np.array([positive] * 2)) is None


def test_the_curves_of_a_shifted_set_have_the_areas_that_are_given_elsewhere():
    shifted, usual = (
        Measured.of(predicted(n=n, noise=noise, seed=n)).uncertainty for n, noise in ((70, 3.0), (190, 1.0))
    )
    aurocs = measure_shift(shifted, usual, members=3, name="usual", change={}, draws=0, seed=0).numbers["auroc"]
    curves = shift_roc_curves(shifted, usual)

    assert set(curves) == set(aurocs)
    for score, curve in curves.items():
        assert area(curve) == pytest.approx(aurocs[score].value, abs=1e-12)
