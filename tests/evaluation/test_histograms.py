import numpy as np
import pytest

from ensemble_uq_llm.evaluation.histograms import HISTOGRAM_BINS, HISTOGRAM_MEASURES, histogram_axes, histograms
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted, unlabelled


def with_logits(predictions, logits_MNC):
    return Measured.of(
        Predictions(ids=predictions.ids, labels=predictions.labels, members=predictions.members, logits_MNC=logits_MNC)
    )


def everything(measured, measure):
    return histograms(measured, histogram_axes([measured]))[measure].groups[-1]


@pytest.mark.parametrize("noise", [1.0, 0.0])
def test_histograms_hold_every_example_once_by_kind(noise):
    measured = Measured.of(unlabelled(predicted(n=60, noise=noise), first=20))
    axes = histogram_axes([measured])
    assert set(histograms(measured, axes)) == set(HISTOGRAM_MEASURES)
    for measure in HISTOGRAM_MEASURES:
        values_N = getattr(measured.uncertainty, f"{measure}_N")
        groups = {group.kind: group for group in histograms(measured, axes)[measure].groups}

        assert groups["correct"].n + groups["wrong"].n + groups["unlabelled"].n == groups["all"].n == 60
        assert groups["all"].mean == pytest.approx(values_N.mean())
        assert groups["all"].median == pytest.approx(np.median(values_N))
        assert groups["unlabelled"].mean == pytest.approx(values_N[:20].mean())
        assert all(group.below + sum(group.shares) == pytest.approx(1) for group in groups.values())
        assert {len(group.shares) for group in groups.values()} == {HISTOGRAM_BINS}


def test_a_bin_of_a_logarithmic_axis_is_a_factor():
    measured = Measured.of(predicted(n=400))
    axis, group = histogram_axes([measured])["mutual_information"], everything(measured, "mutual_information")
    information_N = measured.uncertainty.mutual_information_N

    assert axis.lower > 0
    factor = (axis.upper / axis.lower) ** (1 / HISTOGRAM_BINS)
    for h in (5, 14, 27):
        low, high = axis.lower * factor**h, axis.lower * factor ** (h + 1) * (1 + (h == 27) * 1e-9)
        assert group.shares[h] == pytest.approx(((information_N >= low) & (information_N < high)).mean())
    assert group.below == pytest.approx((information_N < axis.lower).mean())


def test_what_spreads_over_decades_has_a_logarithmic_axis_with_ends_that_hold_nearly_all():
    measured = Measured.of(predicted(n=500, noise=0.1))
    axes = histogram_axes([measured])

    for measure in ("mutual_information", "variance"):
        axis, values_N = axes[measure], getattr(measured.uncertainty, f"{measure}_N")
        assert np.log10(axis.lower) == pytest.approx(round(np.log10(axis.lower)))
        assert axis.lower >= 1e-7 * axis.upper
        assert values_N.max() <= axis.upper
        if axis.lower > 2e-6 * axis.upper:
            assert (values_N < axis.lower).mean() <= 0.01
    assert axes["entropy"].lower == 0.0


def test_entropy_has_one_where_the_members_are_mostly_sure():
    predictions = predicted(n=300)
    sure = with_logits(predictions, predictions.logits_MNC * 8)

    assert histogram_axes([sure])["entropy"].lower > 0
    assert histogram_axes([sure])["entropy"].upper <= np.log(2)


def test_zeros_are_counted_apart_and_rounding_is_no_decade():
    predictions = predicted(n=200)
    logits_MNC = predictions.logits_MNC.copy()
    logits_MNC[:, :50] = logits_MNC[:1, :50]  # members that agree exactly
    measured = with_logits(predictions, logits_MNC)

    assert everything(measured, "mutual_information").below >= 0.25
    assert histogram_axes([measured])["mutual_information"].lower >= 1e-7
    none = with_logits(predictions, np.repeat(predictions.logits_MNC[:1], 3, axis=0))
    axis = histogram_axes([none])["mutual_information"]
    assert (axis.lower, axis.upper) == (0.0, pytest.approx(np.log(2)))
    assert everything(none, "mutual_information").shares[0] == 1


def test_the_axis_is_common_to_all_sets():
    sure, unsure = Measured.of(predicted(n=50, noise=0.01)), Measured.of(predicted(n=50, noise=4.0))
    both, alone = histogram_axes([sure, unsure]), histogram_axes([sure])

    assert alone["mutual_information"].upper < 0.05 < both["mutual_information"].upper
    assert histogram_axes([unsure, sure]) == both
    assert histogram_axes([unsure])["entropy"].upper == pytest.approx(np.log(2))


def test_outliers_do_not_stretch_a_linear_axis_and_are_counted_in_the_last_bar():
    predictions = predicted(n=400)
    calm_MNC = np.repeat(np.array([[[0.0, 4.0]]]), 3, axis=0) + 0.1 * predictions.logits_MNC
    torn_MNC = calm_MNC.copy()
    torn_MNC[:, 7] = 0.0
    calm, torn = (with_logits(predictions, logits_MNC) for logits_MNC in (calm_MNC, torn_MNC))

    assert histogram_axes([torn])["entropy"] == histogram_axes([calm])["entropy"]
    assert histogram_axes([torn])["entropy"].upper < 0.5
    assert everything(torn, "entropy").shares[-1] >= 1 / 400


@pytest.mark.parametrize("classes", [2, 5])
def test_a_single_example_and_a_single_member_have_axes_too(classes):
    for measured in (
        Measured.of(predicted(n=1, classes=classes)),
        Measured.of(predicted(n=9, members=1, classes=classes)),
    ):
        for histogram in histograms(measured, histogram_axes([measured])).values():
            assert 0 <= histogram.lower < histogram.upper <= np.log(classes)
