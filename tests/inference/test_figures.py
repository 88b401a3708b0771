import re
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import binomtest

from ensemble_uq_llm.inference.figures import (
    Group,
    histogram_figure,
    histogram_limit,
    reliability_figure,
    wilson_interval,
)


def shapes(figure, kind):
    return list(ElementTree.fromstring(figure.svg).iter(kind))


@pytest.mark.parametrize(("correct", "examples"), [(0, 1), (1, 1), (7, 9), (50, 100), (100, 100)])
def test_wilson_interval_agrees_with_scipy(correct, examples):
    expected = binomtest(correct, examples).proportion_ci(method="wilson")

    assert wilson_interval(correct, examples) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_reliability_has_a_dot_and_a_bar_for_every_filled_bin():
    confidence_N = np.array([0.52, 0.53, 0.71, 0.99, 1.0])
    figure = reliability_figure(confidence_N, np.array([True, False, True, True, True]), classes=2)

    assert len(shapes(figure, "circle")) == len(shapes(figure, "rect")) == 3
    assert "2 examples at confidence 52.5%, 50.0% correct" in figure.alternative
    assert "2 examples at confidence 99.5%, 100.0% correct" in figure.alternative
    assert ElementTree.fromstring(figure.svg).get("aria-label") == figure.alternative


def test_everything_drawn_lies_within_the_frame():
    rng = np.random.default_rng(0)
    for classes in (2, 3, 10):
        confidence_N = rng.uniform(1 / classes, 1, size=300)
        figure = reliability_figure(confidence_N, rng.random(300) < confidence_N, classes=classes)
        values_N = rng.uniform(0, np.log(classes), size=300)
        group = Group(name="x" * 64, style="correct", values_N=values_N)
        other = histogram_figure([group, group], quantity="entropy", upper=float(np.log(classes)))
        for drawn in (figure, other):
            height = float(ElementTree.fromstring(drawn.svg).get("viewBox").split()[3])
            for shape in ElementTree.fromstring(drawn.svg).iter():
                for name, limit in (("x", 360), ("x1", 360), ("x2", 360), ("cx", 360), ("y", height), ("y2", height)):
                    assert 0 <= float(shape.get(name, 0)) <= limit


def test_histograms_hold_every_value_and_say_so_in_words():
    group = Group(name="strange", style="shifted", values_N=np.array([0.0, 0.1, 0.5, 0.5]))
    figure = histogram_figure([group], quantity="entropy", upper=0.5)

    assert len(shapes(figure, "rect")) == 3
    assert figure.alternative == "Histograms of entropy. strange: 4 examples, mean 0.275, peak 50%."


def test_names_are_escaped():
    group = Group(name='"<script>&', style="shifted", values_N=np.array([0.1]))
    figure = histogram_figure([group], quantity="entropy", upper=0.5)

    assert "<script>" not in figure.svg
    assert '"<script>&' in [text.text for text in shapes(figure, "text")]


@pytest.mark.parametrize(("highest", "classes", "limit"), [(0.013, 2, 0.02), (0.06, 2, 0.1), (0.6, 2, np.log(2))])
def test_the_axis_is_as_long_as_the_values_need(highest, classes, limit):
    group = Group(name="", style="", values_N=np.array([0.0, highest]))

    assert histogram_limit([group], classes=classes) == pytest.approx(limit)


def test_an_axis_of_zeros_is_that_of_all_possible_values():
    assert histogram_limit([Group(name="", style="", values_N=np.zeros(3))], classes=4) == pytest.approx(np.log(4))


def test_coordinates_are_numbers_for_a_single_example():
    figure = reliability_figure(np.array([1.0]), np.array([False]), classes=2)

    assert not re.search("nan|inf", figure.svg)
