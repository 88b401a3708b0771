import itertools
from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.report.figures.roc_figure import RocLine, roc_figure
from ensemble_uq_llm.report.figures.svg import LEFT, RIGHT


def line(name="Entropy", style="best", corner=(0.2, 0.9)):
    x, y = corner
    return RocLine(
        name=name, style=style, area="0.850", false_positive_rate=(0.0, x, 1.0), true_positive_rate=(0.0, y, 1.0)
    )


def drawn(*lines):
    return roc_figure(lines, title="Finding the wrong answers", found="found", mistaken="mistaken")


def points(figure, style):
    [curve] = [each for each in ElementTree.fromstring(figure.svg).iter("polyline") if each.get("class") == style]
    return [tuple(float(part) for part in pair.split(",")) for pair in curve.get("points").split()]


def test_the_area_below_the_drawn_curve_is_that_of_its_points():
    corners = points(drawn(line()), "curve best")
    shares = [((x - LEFT) / (RIGHT - LEFT), (270 - y) / 240) for x, y in corners]

    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(shares))
    assert area == pytest.approx(0.85, abs=0.001)


def test_the_first_curve_lies_on_top_and_comes_first_in_legend_and_words():
    figure = drawn(line(), line("Spread", "second", (0.5, 0.6)))
    curves = [each.get("class") for each in ElementTree.fromstring(figure.svg).iter("polyline")]

    assert curves == ["curve second", "curve best"]
    assert [key.name for key in figure.legend] == [
        "Entropy, AUROC 0.850",
        "Spread, AUROC 0.850",
        "A score that knows nothing",
    ]
    assert figure.alternative == "ROC curves: found by mistaken. Entropy: AUROC 0.850; Spread: AUROC 0.850."
