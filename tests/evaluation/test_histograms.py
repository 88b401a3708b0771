import numpy as np
import pytest

from ensemble_uq_llm.evaluation.histograms import histogram_ends, histograms, reliability
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.quality.calibration import against_labels, ece
from ensemble_uq_llm.evaluation.statistics.binomial import wilson_interval
from ensemble_uq_llm.evaluation.statistics.statistic import value_of
from ensemble_uq_llm.member import trained
from small_predictions import predicted, unlabelled


def test_the_bins_add_up_to_the_ece():
    measured = Measured.of(predicted(n=200, classes=3))
    bins = reliability(measured, draws=20)["bins"]

    assert sum(each["n"] for each in bins) == 200
    expected = value_of(against_labels(ece)(measured.log_probs_NC, measured.labels_N), 200)
    assert sum(each["n"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / 200 == pytest.approx(expected)
    for each in bins:
        assert each["low"] <= each["confidence"] < each["high"]
        assert each["ci95"] == pytest.approx(list(wilson_interval(round(each["accuracy"] * each["n"]), each["n"])))


def test_the_band_is_where_right_confidences_would_lie():
    """With 400 examples in a bin the binomial law is nearly normal."""
    logits = np.log([0.3, 0.7]).astype(np.float32)
    predictions = Predictions(
        ids=tuple(map(str, range(400))),
        labels=(1,) * 400,
        members=trained((1,)),
        logits_MNC=np.tile(logits, (1, 400, 1)),
    )
    (only,) = reliability(Measured.of(predictions), draws=2000)["bins"]

    reach = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert only["band95"] == pytest.approx([0.7 - reach, 0.7 + reach], abs=0.1 * reach)
    assert only["accuracy"] == 1.0


def test_without_draws_there_is_no_band():
    assert {each["band95"] for each in reliability(Measured.of(predicted()), draws=0)["bins"]} == {None}


def test_histograms_hold_every_example_once_by_kind():
    measured = Measured.of(unlabelled(predicted(n=60), first=20))
    ends = histogram_ends([measured])
    for quantity, values_N in (
        ("entropy", measured.uncertainty.entropy_N),
        ("mutual_information", measured.uncertainty.mutual_information_N),
    ):
        groups = {group["kind"]: group for group in histograms(measured, ends)[quantity]["groups"]}

        assert groups["correct"]["n"] + groups["wrong"]["n"] + groups["unlabelled"]["n"] == groups["all"]["n"] == 60
        assert groups["all"]["mean"] == pytest.approx(values_N.mean())
        assert groups["unlabelled"]["mean"] == pytest.approx(values_N[:20].mean())
        assert all(sum(group["shares"]) == pytest.approx(1) for group in groups.values())


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
    everything = histograms(torn, ends)["mutual_information"]["groups"][-1]
    assert everything["shares"][-1] == pytest.approx(1 / 400)


def test_equal_members_have_an_axis_too():
    measured = Measured.of(predicted(n=10, members=1))

    assert measured.uncertainty.mutual_information_N.max() == 0
    assert histogram_ends([measured])["mutual_information"] == pytest.approx(np.log(2))
