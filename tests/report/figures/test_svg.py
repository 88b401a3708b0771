from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_uq_llm.report.figures.svg import (
    Scale,
    area,
    axis_x,
    axis_y,
    bar,
    decimals_for,
    figure,
    path,
    round_step,
    shortened,
    text,
)

SPANS = st.tuples(st.floats(-50, 50), st.floats(1e-4, 100))


def test_a_scale_is_linear_and_ends_at_its_ends():
    scale = Scale(1.0, 3.0, 200.0, 100.0)

    assert [scale(value) for value in (1.0, 1.5, 3.0)] == [200.0, 175.0, 100.0]
    assert [scale(value) for value in (-9.0, 9.0)] == [200.0, 100.0]


@given(SPANS)
def test_ticks_are_few_evenly_spaced_and_on_the_scale(span):
    low, length = span
    scale = Scale(low, low + length, 0.0, 100.0)
    ticks = scale.ticks()

    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-6 * length <= tick <= low + length * (1 + 1e-6) for tick in ticks)
    assert [b - a for a, b in pairwise(ticks)] == pytest.approx([ticks[1] - ticks[0]] * (len(ticks) - 1))


@given(SPANS, st.booleans())
def test_labels_of_ticks_differ(span, percent):
    low, length = span
    scale = Scale(low, low + length, 0.0, 100.0)
    labels = [format(tick, decimals_for(scale, percent=percent)) for tick in scale.ticks()]

    assert len(set(labels)) == len(labels)


@given(st.floats(1e-12, 1e12))
def test_a_round_step_is_the_next_one_above(least):
    step = round_step(least)

    assert least * (1 - 1e-6) <= step <= 2.5 * least * (1 + 1e-6)
    assert float(f"{step:.6g}") == pytest.approx(float(f"{step:.0e}"))


def test_a_figure_says_what_it_shows_and_escapes_what_it_is_given():
    attack = '"><script>alert(1)</script>&'
    drawing = figure([text(1, 2, attack, "small")], title="x", height=10, alternative=attack)
    root = ElementTree.fromstring(drawing.svg)

    assert root.get("role") == "img"
    assert root.get("aria-label") == attack
    assert [each.text for each in root.iter("text")] == [attack]
    assert root.get("viewBox") == "0 0 360 10"


def test_axes_label_their_ticks():
    scale = Scale(0.0, 1.0, 0.0, 100.0)
    labels = ["0%", "20%", "40%", "60%", "80%", "100%"]

    for axis in (axis_x(scale, 50, ".0%", title="share"), axis_y(scale, ".0%", title="share")):
        texts = [each.text for each in ElementTree.fromstring(f"<g>{axis}</g>").iter("text")]
        assert sorted(texts) == sorted([*labels, "share"])
    given_ticks = axis_x(Scale(0, 9, 0, 100), 50, "d", title="members", ticks=[1, 5])
    assert [each.text for each in ElementTree.fromstring(f"<g>{given_ticks}</g>").iter("text")] == ["1", "5", "members"]


def test_shapes_have_their_coordinates():
    assert ElementTree.fromstring(path("curve", [(1, 2), (3, 4.25)])).get("points") == "1.0,2.0 3.0,4.2"
    assert ElementTree.fromstring(area("band", [(0, 0), (1, 1)])).tag == "polygon"
    rectangle = ElementTree.fromstring(bar("bar", 5, 7, 4, 9))
    assert (rectangle.get("width"), rectangle.get("height")) == ("0.0", "2.0")


def test_long_names_are_cut():
    assert shortened("validation") == "validation"
    assert len(shortened("x" * 64)) == 29
    assert shortened("x" * 64).endswith("x…")
