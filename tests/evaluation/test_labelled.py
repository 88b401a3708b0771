import numpy as np
import pytest

from ensemble_uq_llm.evaluation.decisions.selective import selective_family
from ensemble_uq_llm.evaluation.labelled import resample_labelled
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, quality_family
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.statistics.bootstrap import resample
from small_predictions import predicted, unlabelled


def test_every_number_sees_the_same_draws():
    measured = Measured.of(unlabelled(predicted(n=90), first=10))
    flatter_NC = np.log(np.exp(measured.log_probs_NC) * 0.5 + 0.25)
    numbers = resample_labelled(measured, {"pooled": flatter_NC}, draws=30, seed=4)

    def alone(family):
        return resample(family, sizes=[80], draws=30, seed=4)

    def assert_same(one, other):
        assert list(one.values) == list(other.values)
        for key in one.values:
            assert one.values[key] == pytest.approx(other.values[key], nan_ok=True)
            assert one.draws_D[key] == pytest.approx(other.draws_D[key], nan_ok=True)

    assert_same(numbers.ensemble, alone(quality_family(measured.log_probs_NC, measured.labels_N)))
    assert_same(numbers.calibrated["pooled"], alone(quality_family(flatter_NC, measured.labels_N)))
    assert list(numbers.selective) == [score.name for score in SCORES]
    for score, scores_N in measured.scores.items():
        assert_same(numbers.selective[score], alone(selective_family(scores_N, measured.wrong_N)))
    for metric in HEADLINE:
        ensemble_D = numbers.ensemble.draws_D[metric.name]
        assert numbers.members.draws_D[metric.name, None] == pytest.approx(ensemble_D, nan_ok=True)


def test_without_calibration_there_is_nothing_after_it():
    assert resample_labelled(Measured.of(predicted()), {}, draws=0, seed=0).calibrated == {}
