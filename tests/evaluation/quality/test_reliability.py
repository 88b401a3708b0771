import numpy as np
import pytest

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.quality.calibration import against_labels, ece
from ensemble_uq_llm.evaluation.quality.reliability import reliability
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.statistics.binomial import wilson_interval
from ensemble_uq_llm.statistics.statistic import value_of
from small_predictions import predicted


def bins_of(measured, **settings):
    return reliability(measured.confidence_N, ~measured.wrong_N, **settings).bins


def test_the_bins_add_up_to_the_ece():
    measured = Measured.of(predicted(n=200, classes=3))
    bins = bins_of(measured, draws=20)

    assert sum(each.n for each in bins) == 200
    expected = value_of(against_labels(ece)(measured.log_probs_NC, measured.labels_N), 200)
    assert sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / 200 == pytest.approx(expected)
    for each in bins:
        assert each.low <= each.confidence < each.high
        assert each.ci95 == pytest.approx(list(wilson_interval(round(each.accuracy * each.n), each.n)))


def test_the_band_is_where_right_confidences_would_lie():
    """With 400 examples in a bin the binomial law is nearly normal."""
    logits = np.log([0.3, 0.7]).astype(np.float32)
    predictions = Predictions(
        ids=tuple(map(str, range(400))),
        labels=(1,) * 400,
        members=trained((1,)),
        logits_MNC=np.tile(logits, (1, 400, 1)),
    )
    (only,) = bins_of(Measured.of(predictions), draws=2000)

    reach = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert only.band95 == pytest.approx([0.7 - reach, 0.7 + reach], abs=0.1 * reach)
    assert only.accuracy == 1.0


def test_without_draws_there_is_no_band():
    assert {each.band95 for each in bins_of(Measured.of(predicted()), draws=0)} == {None}
