from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.report.figures.uncertainty_histograms import Group, histogram_figure


def group(name="strange", shares=(0.25, 0.0, 0.75, 0.0), mean=0.25, style="shifted"):
    return Group(name=name, style=style, n=4000, mean=mean, shares=shares)


def bars(figure):
    return list(ElementTree.fromstring(figure.svg).iter("rect"))


def test_every_filled_bin_has_a_bar_of_its_share():
    figure = histogram_figure([group()], measure="entropy", upper=0.5)
    heights = [float(bar.get("height")) for bar in bars(figure)]

    assert len(heights) == 2
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.11)


def test_groups_lie_below_each_other_in_their_styles():
    figure = histogram_figure([group(style="correct"), group(style="wrong")], measure="entropy", upper=0.5)

    assert [bar.get("class") for bar in bars(figure)] == ["bar correct"] * 2 + ["bar wrong"] * 2
    tops = [float(bar.get("y")) for bar in bars(figure)]
    assert max(tops[:2]) < min(tops[2:])


def test_it_says_every_group_in_words():
    figure = histogram_figure([group()], measure="entropy", upper=0.5)

    assert figure.alternative == "Histograms of entropy. strange: 4,000 examples, mean 0.250, peak 75%."
    assert figure.title == "Entropy"


def test_long_names_do_not_reach_the_numbers():
    figure = histogram_figure([group(name="x" * 64)], measure="entropy", upper=0.5)
    names = [each.text for each in ElementTree.fromstring(figure.svg).iter("text") if "x" in each.text[:1]]

    assert [len(name) for name in names] == [29]


def test_the_mean_stands_on_the_axis():
    for mean, at in ((0.0, 14.0), (0.5, 346.0), (0.25, 180.0)):
        figure = histogram_figure([group(mean=mean)], measure="entropy", upper=0.5)
        [mark] = [each for each in ElementTree.fromstring(figure.svg).iter("line") if each.get("class") == "mean"]
        assert float(mark.get("x1")) == pytest.approx(at)
