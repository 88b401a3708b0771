import numpy as np

from ensemble_uq_llm import evaluate
from ensemble_uq_llm.predictions.ordering import in_order
from ensemble_uq_llm.predictions.selection import of_members
from real.mean_member import mean_member
from small_predictions import predicted

TEST, CALIBRATION = in_order(predicted(200, classes=3, seed=1))[0], in_order(predicted(100, classes=3, seed=2))[0]


def test_each_number_is_the_mean_of_what_the_evaluation_says_of_each_member_alone():
    found = mean_member(TEST, CALIBRATION, draws=50)
    alone = [
        evaluate(
            of_members(TEST, [m], name="", others=""),
            calibration=of_members(CALIBRATION, [m], name="", others=""),
            draws=50,
        ).metrics
        for m in TEST.members
    ]
    for name in ("accuracy", "nll", "brier", "ece"):
        np.testing.assert_allclose(found["raw"][name]["value"], np.mean([each.ensemble[name].value for each in alone]))
        scaled = [each.temperature.pooled.after[name].value for each in alone]
        np.testing.assert_allclose(found["scaled"][name]["value"], np.mean(scaled))
    aurc = [each.selective["one_minus_confidence"].numbers["aurc"].value for each in alone]
    np.testing.assert_allclose(found["raw"]["aurc"]["value"], np.mean(aurc))
    floors = [each.ensemble["ece"].noise_floor.mean for each in alone]
    np.testing.assert_allclose(found["ece_floor"]["raw"], np.mean(floors), rtol=0.1)  # other draws of labels


def test_differences_are_paired_with_those_of_the_evaluation():
    found = mean_member(TEST, CALIBRATION, draws=50)
    together = evaluate(TEST, calibration=CALIBRATION, draws=50).metrics
    after = together.temperature.pooled.after["nll"].value
    gain = found["ensemble_minus_mean_scaled"]["nll"]
    np.testing.assert_allclose(gain["value"], after - found["scaled"]["nll"]["value"])
    low, high = gain["ci95"]
    assert low <= gain["value"] <= high
    assert high - low < found["scaled"]["nll"]["ci95"][1] - found["scaled"]["nll"]["ci95"][0]
