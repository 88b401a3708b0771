import numpy as np
import pytest
import sklearn.metrics
from small_predictions import predicted

from ensemble_uq_llm.inference.shift import shift_statistics, uncertainty_scores
from ensemble_uq_llm.inference.statistic import value_of
from ensemble_uq_llm.inference.uncertainty import measure_uncertainty

SCORES = {
    "entropy",
    "mutual_information",
    "variance",
    "expected_entropy",
    "disagreement",
    "one_minus_confidence",
}


def measured(**world):
    return measure_uncertainty(predicted(**world).logits_MNC)


def test_every_score_agrees_with_scikit_learn():
    shifted, usual = measured(n=70, seed=1, noise=3.0), measured(n=90, seed=2)
    is_shifted_N = np.repeat([1, 0], [70, 90])
    statistics = shift_statistics(shifted, usual)

    assert set(statistics) == SCORES
    for name, statistic in statistics.items():
        scores_N = np.concatenate([uncertainty_scores(shifted)[name], uncertainty_scores(usual)[name]])
        expected = sklearn.metrics.roc_auc_score(is_shifted_N, scores_N)
        assert value_of(statistic, 160) == pytest.approx(expected), name
    assert value_of(statistics["mutual_information"], 160) > 0.7


def test_a_set_is_not_shifted_from_itself():
    usual = measured(n=40)

    areas = {name: value_of(statistic, 80) for name, statistic in shift_statistics(usual, usual).items()}
    assert areas == dict.fromkeys(SCORES, 0.5)


def test_perfect_separation_and_its_mirror():
    torn = measure_uncertainty(np.array([[[5, -5]] * 3, [[-5, 5]] * 3], dtype=np.float32))
    agreed = measure_uncertainty(np.array([[[5, -5]] * 4, [[5, -5]] * 4], dtype=np.float32))
    for name in ("entropy", "mutual_information", "variance", "disagreement", "one_minus_confidence"):
        assert value_of(shift_statistics(torn, agreed)[name], 7) == 1.0, name
        assert value_of(shift_statistics(agreed, torn)[name], 7) == 0.0, name
