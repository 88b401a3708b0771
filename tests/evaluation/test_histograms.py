import numpy as np
import pytest

from ensemble_uq_llm.evaluation.histograms import HISTOGRAM_BINS, HISTOGRAM_MEASURES, histogram_ends, histograms
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted, unlabelled


def test_histograms_hold_every_example_once_by_kind():
    measured = Measured.of(unlabelled(predicted(n=60), first=20))
    ends = histogram_ends([measured])
    assert set(histograms(measured, ends)) == set(HISTOGRAM_MEASURES)
    for quantity, values_N in (
        ("entropy", measured.uncertainty.entropy_N),
        ("mutual_information", measured.uncertainty.mutual_information_N),
    ):
        groups = {group.kind: group for group in histograms(measured, ends)[quantity].groups}

        assert groups["correct"].n + groups["wrong"].n + groups["unlabelled"].n == groups["all"].n == 60
        assert groups["all"].mean == pytest.approx(values_N.mean())
        assert groups["unlabelled"].mean == pytest.approx(values_N[:20].mean())
        assert all(sum(group.shares) == pytest.approx(1) for group in groups.values())
        assert {len(group.shares) for group in groups.values()} == {HISTOGRAM_BINS}


def test_the_axis_is_short_where_values_are_small_and_never_longer_than_ln_c():
    sure, unsure = Measured.of(predicted(n=50, noise=0.01)), Measured.of(predicted(n=50, noise=4.0))

    assert histogram_ends([sure])["mutual_information"] < 0.05
    assert histogram_ends([sure, unsure]) == histogram_ends([unsure])
    assert histogram_ends([unsure])["entropy"] == pytest.approx(np.log(2))


def test_outliers_do_not_stretch_the_axis_and_are_counted_in_the_last_bar():
    predictions = predicted(n=400, noise=0.01)
    torn_MNC = predictions.logits_MNC.copy()
    torn_MNC[:, 7] = [[9, -9], [-9, 9], [9, -9]]
    torn = Measured.of(
        Predictions(ids=predictions.ids, labels=predictions.labels, members=predictions.members, logits_MNC=torn_MNC)
    )

    ends = histogram_ends([torn])
    assert ends == histogram_ends([Measured.of(predictions)])
    everything = histograms(torn, ends)["mutual_information"].groups[-1]
    assert everything.shares[-1] == pytest.approx(1 / 400)


def test_equal_members_have_an_axis_too():
    measured = Measured.of(predicted(n=10, members=1))

    assert measured.uncertainty.mutual_information_N.max() == 0
    assert histogram_ends([measured])["mutual_information"] == pytest.approx(np.log(2))
