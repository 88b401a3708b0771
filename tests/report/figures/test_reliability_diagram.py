import re
from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.evaluation.records import ReliabilityBin
from ensemble_uq_llm.report.figures.reliability_diagram import reliability_figure


def filled_bin(h, *, n=40, accuracy=None, bins=15, drawn=True):
    low, high = h / bins, (h + 1) / bins
    middle = (low + high) / 2
    return ReliabilityBin(
        low=low,
        high=high,
        n=n,
        confidence=middle,
        accuracy=middle if accuracy is None else accuracy,
        ci95=(0.0, 1.0),
        band95=(max(0.0, middle - 0.1), min(1.0, middle + 0.1)) if drawn else None,
    )


def shapes(figure, kind, style):
    return [each for each in ElementTree.fromstring(figure.svg).iter(kind) if each.get("class") == style]


def test_every_bin_has_a_dot_a_whisker_a_band_and_a_count():
    figure = reliability_figure([filled_bin(8), filled_bin(11), filled_bin(14)])

    for kind, style in (("circle", "dot"), ("line", "whisker"), ("polygon", "band"), ("rect", "bar correct")):
        assert len(shapes(figure, kind, style)) == 3


def test_a_calibrated_dot_lies_on_the_diagonal():
    figure = reliability_figure([filled_bin(8), filled_bin(12)])
    [diagonal] = shapes(figure, "line", "diagonal")
    x1, y1, x2, y2 = (float(diagonal.get(name)) for name in ("x1", "y1", "x2", "y2"))

    for dot in shapes(figure, "circle", "dot"):
        share = (float(dot.get("cx")) - x1) / (x2 - x1)
        assert float(dot.get("cy")) == pytest.approx(y1 + share * (y2 - y1), abs=0.11)


def test_a_bin_of_twice_the_examples_has_a_bar_of_twice_the_height():
    bars = shapes(reliability_figure([filled_bin(9, n=10), filled_bin(10, n=20)]), "rect", "bar correct")

    heights = [float(bar.get("height")) for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.11)


def test_it_says_every_bin_in_words():
    figure = reliability_figure([filled_bin(14, n=1234, accuracy=0.9)])

    assert figure.alternative == "Reliability diagram. 1,234 examples at confidence 96.7%, 90.0% right."


def test_without_draws_there_is_no_band():
    figure = reliability_figure([filled_bin(14, n=1, accuracy=0.0, drawn=False)])

    assert not shapes(figure, "polygon", "band")
    assert len(shapes(figure, "line", "whisker")) == 1
    assert not re.search("nan|inf", figure.svg)
