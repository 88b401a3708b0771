from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.report.figures.by_size import MetricBySize, size_curve_figure


def curve(sizes=(1, 2, 3), mean=(0.3, 0.28, 0.27), spread=(0.02, 0.01, 0.0), form=".3f"):
    low, high = ([m + sign * s for m, s in zip(mean, spread, strict=True)] for sign in (-1, 1))
    return MetricBySize(title="NLL (nats)", form=form, sizes=sizes, mean=mean, low=low, high=high)


def root(figure):
    return ElementTree.fromstring(figure.svg)


def texts(figure):
    return [each.text for each in root(figure).iter("text")]


def test_every_size_has_a_dot_and_a_label():
    figure = size_curve_figure(curve(), mark=(2, "slight"))

    assert len(list(root(figure).iter("circle"))) == 3
    assert {"1", "2", "3", "slight", "members"} <= set(texts(figure))
    heights = [float(dot.get("cy")) for dot in root(figure).iter("circle")]
    assert heights == sorted(heights)


def test_a_mark_has_its_words_where_the_curve_leaves_room():
    left, right = (root(size_curve_figure(curve(), mark=(size, "slight"))) for size in (1, 3))

    [low], [high] = ([each for each in side.iter("text") if each.text == "slight"] for side in (left, right))
    assert float(low.get("y")) > float(high.get("y"))
    assert "end" in high.get("class")
    assert "slight" not in texts(size_curve_figure(curve()))


def test_the_range_holds_the_mean():
    [spread] = list(root(size_curve_figure(curve())).iter("polygon"))
    corners = [tuple(float(part) for part in pair.split(",")) for pair in spread.get("points").split()]
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root(size_curve_figure(curve())).iter("circle")]

    for (x, mean), (left, high), (right, low) in zip(dots, corners[:3], corners[:2:-1], strict=True):
        assert x == left == right
        assert high <= mean <= low


def test_labels_of_many_sizes_are_thinned():
    sizes = (*range(1, 11), 14, 20, 28, 40, 50)
    figure = size_curve_figure(curve(sizes, [0.3] * 15, [0.01] * 15))

    labels = [each for each in texts(figure) if each.isdigit()]
    assert labels == ["1", "5", "10", "20", "40", "50"]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_members_that_are_all_alike_have_a_level_curve(value):
    figure = size_curve_figure(curve(mean=[value] * 3, spread=[0.0] * 3, form=".1%"))

    assert len({dot.get("cy") for dot in root(figure).iter("circle")}) == 1
    assert "%" in "".join(texts(figure))


def test_it_says_its_ends_in_words():
    figure = size_curve_figure(curve())

    assert figure.alternative == "NLL (nats) by number of members: 0.300 with 1 on average, 0.270 with 3."
