from dataclasses import replace

from ensemble_uq_llm.evaluation.records import RocCurve
from ensemble_uq_llm.report.scores_drawn import drawn_scores, recommended_first, roc_lines
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import main_metrics

CHOICE = main_metrics().best_score


def titles(curves, choice):
    return [each.title for each in drawn_scores(curves, recommended_first(choice))]


def test_the_recommended_score_comes_first_then_the_baseline_and_the_lowest_aurc():
    curves = {"one_minus_confidence": 1, "entropy": 2, "mutual_information": 3, "spread": 4, "margin": 5}
    better, chance = (replace(CHOICE, best="spread", really_better=really) for really in (True, False))

    assert titles(curves, better) == ["Spread", "One minus confidence", "Entropy", "Mutual information"]
    assert titles(curves, chance) == ["One minus confidence", "Spread", "Entropy", "Mutual information"]
    assert titles(curves, None) == ["One minus confidence", "Entropy", "Mutual information"]


def test_scores_of_one_curve_share_it_and_those_without_have_none():
    [first, second] = drawn_scores(
        {"one_minus_confidence": 7, "entropy": 7, "mutual_information": 8}, ["one_minus_confidence"]
    )

    assert (first.title, first.score) == ("One minus confidence (the same as entropy)", "one_minus_confidence")
    assert (first.style, second.style) == ("best", "second")
    assert drawn_scores({}, recommended_first(CHOICE)) == []


def test_roc_lines_have_the_areas_that_are_given():
    curve = RocCurve(false_positive_rate=(0.0, 1.0), true_positive_rate=(0.0, 1.0))
    areas = {"entropy": Estimate(value=0.5, ci95=None)}

    [line] = roc_lines({"entropy": curve}, areas, ["spread"])
    assert (line.name, line.area, line.style) == ("Entropy", "0.500", "best")
