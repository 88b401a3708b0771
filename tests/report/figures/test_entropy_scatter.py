from xml.etree import ElementTree

import pytest

from ensemble_uq_llm.report.figures.entropy_scatter import Cloud, scatter_figure
from ensemble_uq_llm.report.figures.svg import LEFT, RIGHT


def cloud(style="correct", entropy=(0.1, 0.5), information=(0.001, 0.1), n=2):
    return Cloud(name=style, style=style, n=n, entropy=entropy, mutual_information=information)


def drawn(*clouds):
    return scatter_figure(clouds, entropy=(0.0, 0.5), mutual_information=(0.001, 0.1))


def marks(figure, style):
    shapes = ElementTree.fromstring(figure.svg).iter()
    return [each for each in shapes if each.get("class") == f"point {style}"]


def test_every_example_has_its_mark_at_its_place():
    [first, second] = marks(drawn(cloud()), "correct")

    assert float(first.get("cx")) == pytest.approx(LEFT + 0.2 * (RIGHT - LEFT), abs=0.11)
    assert (float(first.get("cy")), float(second.get("cy"))) == (270.0, 30.0)
    assert float(second.get("cx")) == RIGHT


def test_kinds_differ_in_their_shapes_and_wrong_answers_lie_on_top():
    figure = drawn(cloud("wrong"), cloud("correct"), cloud("unlabelled"))

    assert {each.tag for each in marks(figure, "wrong")} == {"path"}
    assert {each.tag for each in marks(figure, "correct")} == {"circle"}
    order = [
        each.get("class") for each in ElementTree.fromstring(figure.svg).iter() if "point" in each.get("class", "")
    ]
    assert order == ["point correct"] * 2 + ["point unlabelled"] * 2 + ["point wrong"] * 2


def test_it_says_what_it_shows():
    figure = drawn(cloud(entropy=(0.1, 0.2, 0.5), information=(0.0, 0.002, 0.1), n=4000), cloud("wrong"))

    assert "correct: 3 shown, median entropy 0.2, median mutual information 0.002; wrong: 2 shown" in figure.alternative
    assert [key.name for key in figure.legend] == ["correct (3 of 4,000)", "wrong (2)"]
