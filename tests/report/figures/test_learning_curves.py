import re
from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.report.figures.learning_curves import LearningCurve, learning_figure


def curve(name="seed 1", losses=((1, 0.7), (2, 0.5), (3, 0.3)), *, diverged=False):
    return LearningCurve(name=name, losses=losses, diverged=diverged)


def drawn(*curves, over="epoch"):
    return learning_figure(curves, title="Loss", over=over)


def points(figure, style):
    return [
        [tuple(float(part) for part in pair.split(",")) for pair in each.get("points").split()]
        for each in ElementTree.fromstring(figure.svg).iter("polyline")
        if each.get("class") == style
    ]


def test_every_member_has_a_thin_line_and_their_mean_a_bold_one():
    figure = drawn(curve(), curve("seed 2", ((1, 0.9), (2, 0.5), (3, 0.5))))
    first, second = points(figure, "curve member")
    [mean] = points(figure, "curve best")

    for a, b, between in zip(first, second, mean, strict=True):
        assert a[0] == b[0] == between[0]
        assert between[1] == pytest.approx((a[1] + b[1]) / 2, abs=0.11)
    assert [key.name for key in figure.legend] == ["Mean of the members", "Each member"]
    assert "<title>seed 2</title>" in figure.svg


def test_a_member_that_diverged_is_marked_and_no_part_of_the_mean():
    figure = drawn(curve(), curve("seed 2", ((1, 0.9), (2, 5.0)), diverged=True))
    [whole, _] = points(figure, "curve member")

    assert points(figure, "curve best") == [whole]
    assert len(list(ElementTree.fromstring(figure.svg).iter("path"))) == 1
    assert figure.alternative.endswith("seed 2: 0.900 at epoch 1, 5.000 at epoch 2, then diverged.")


@pytest.mark.parametrize("losses", [((1, 0.5),), ((1, 0.0), (2, 0.0)), ((3, 0.4), (4, 0.4))])
def test_one_point_and_level_curves_are_drawn_within_the_frame(losses):
    figure = drawn(curve(losses=losses), curve("seed 2", losses))

    assert not re.search("nan|inf", figure.svg)
    assert len(list(ElementTree.fromstring(figure.svg).iter("circle"))) == len(losses)
    assert all(30 <= y <= 230 for _, y in points(figure, "curve best")[0])


def test_a_single_member_and_members_that_all_diverged_have_no_mean():
    assert drawn(curve()).legend == ()
    assert len(points(drawn(curve()), "curve best")) == 1
    assert points(drawn(curve(diverged=True), curve("seed 2", diverged=True)), "curve best") == []


def test_ticks_are_whole_epochs():
    labels = [each.text for each in ElementTree.fromstring(drawn(curve(), curve("seed 2")).svg).iter("text")]

    assert [label for label in labels if label.isdigit()] == ["1", "2", "3"]
