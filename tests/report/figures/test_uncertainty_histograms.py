from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.report.figures.svg import RIGHT
from ensemble_uq_llm.report.figures.uncertainty_histograms import Group, histogram_figure


def group(name="strange", shares=(0.25, 0.0, 0.75, 0.0), mean=0.25, style="shifted", median=0.01, below=0.0):
    return Group(name=name, style=style, n=4000, mean=mean, median=median, shares=shares, below=below)


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


@pytest.mark.parametrize("lower", [0.0, 1e-9])
def test_long_names_do_not_reach_the_numbers(lower):
    figure = histogram_figure([group(name="x" * 64, median=4.9e-7)], measure="entropy", lower=lower, upper=0.5)
    [name], [words] = ([text for text in texts(figure) if part in text] for part in ("xx", "examples"))

    assert len(name) + len(words) == 54
    assert name.endswith("x…")


def test_the_mean_stands_on_the_axis():
    for mean, at in ((0.0, 14.0), (0.5, 346.0), (0.25, 180.0)):
        figure = histogram_figure([group(mean=mean)], measure="entropy", upper=0.5)
        [mark] = [each for each in ElementTree.fromstring(figure.svg).iter("line") if each.get("class") == "mean"]
        assert float(mark.get("x1")) == pytest.approx(at)


def texts(figure):
    return [each.text for each in ElementTree.fromstring(figure.svg).iter("text")]


def test_on_a_logarithmic_axis_the_median_is_marked_among_powers_of_ten():
    figure = histogram_figure([group()], measure="mutual information", lower=1e-4, upper=1.0)
    [marked] = [each for each in ElementTree.fromstring(figure.svg).iter("line") if each.get("class") == "mean"]
    left, right = (float(bars(figure)[0].get("x")) - 0.5, RIGHT)

    assert float(marked.get("x1")) == pytest.approx(left + (right - left) / 2, abs=0.11)  # two decades of four
    assert [each for each in texts(figure) if each[:1] == "1"] == ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]
    assert "on a logarithmic axis. strange: 4,000 examples, median 0.01, peak 75%" in figure.alternative


def test_what_lies_before_a_logarithmic_axis_has_a_bar_of_its_own_apart():
    shares = (0.25, 0.0, 0.25, 0.0)
    figure = histogram_figure([group(shares=shares, below=0.5)], measure="variance", unit="", lower=1e-3, upper=0.1)
    first, _second, apart = bars(figure)

    assert float(apart.get("height")) == pytest.approx(2 * float(first.get("height")), abs=0.11)
    assert float(apart.get("x")) + float(apart.get("width")) + 10 < float(first.get("x"))
    assert {"<10⁻³", "variance"} <= set(texts(figure))
    assert "50.0% below 10⁻³" in figure.alternative
    whole = histogram_figure([group()], measure="variance", unit="", lower=1e-3, upper=0.1)
    assert "<10⁻³" not in texts(whole)


def test_a_median_before_the_axis_is_marked_there_and_one_example_is_one():
    one = Group(name="one", style="correct", n=1, mean=0.0, median=0.0, shares=(0.0, 0.0), below=1.0)
    figure = histogram_figure([one], measure="variance", unit="", lower=1e-3, upper=0.1)
    [marked] = [each for each in ElementTree.fromstring(figure.svg).iter("line") if each.get("class") == "mean"]
    [apart] = bars(figure)

    assert float(marked.get("x1")) == float(apart.get("x")) + float(apart.get("width")) / 2
    assert "1 example, median 0" in texts(figure)
