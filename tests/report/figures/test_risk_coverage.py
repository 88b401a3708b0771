from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from ensemble_uq_llm.report.figures.risk_coverage import Curve, risk_coverage_figure
from ensemble_uq_llm.report.figures.svg import LEFT, RIGHT


def curve(risk, *, coverage=None, name="Entropy", style="best"):
    coverage = np.linspace(1 / len(risk), 1, len(risk)).tolist() if coverage is None else coverage
    return Curve(name=name, style=style, coverage=coverage, risk=list(risk))


def points(figure, style):
    [line] = [each for each in ElementTree.fromstring(figure.svg).iter("polyline") if each.get("class") == style]
    return [tuple(float(part) for part in pair.split(",")) for pair in line.get("points").split()]


def test_a_perfect_score_answers_wrongly_last():
    wrong, n = 0.25, 400
    figure = risk_coverage_figure([curve(np.full(n, wrong))])
    [(_, level), _] = points(figure, "curve chance")
    _, zero = points(figure, "curve perfect")[0]

    for x, y in points(figure, "curve perfect"):
        answered = (x - LEFT) / (RIGHT - LEFT) * n
        mistakes = max(0.0, answered - (1 - wrong) * n)
        risk = (y - zero) / (level - zero) * wrong
        assert risk == pytest.approx(mistakes / answered, abs=0.002)


def test_all_curves_end_where_everything_is_answered():
    figure = risk_coverage_figure([curve([0.0, 0.1, 0.2]), curve([0.4, 0.3, 0.2], style="second")])

    ends = [points(figure, f"curve {style}")[-1] for style in ("best", "second", "perfect", "chance")]
    assert ends == [ends[0]] * 4


def test_a_wild_beginning_does_not_press_the_rest_down():
    risk = [1.0] + [0.1] * 99
    figure = risk_coverage_figure([curve(risk)])
    drawn = points(figure, "curve best")

    assert drawn[0][1] == 30.0
    assert drawn[-1][1] < 200


@pytest.mark.parametrize("risk", [[0.0] * 5, [1.0] * 5, [0.0, 0.001], [1.0, 0.5]])
def test_extreme_risks_stay_within_the_frame(risk):
    figure = risk_coverage_figure([curve(risk)])

    for line in ElementTree.fromstring(figure.svg).iter("polyline"):
        for pair in line.get("points").split():
            x, y = (float(part) for part in pair.split(","))
            assert LEFT <= x <= RIGHT
            assert 30 <= y <= 270


def test_it_says_the_curves_in_words():
    figure = risk_coverage_figure([curve([0.0, 0.05, 0.06, 0.08, 0.1])])

    assert figure.alternative == (
        "Risk-coverage curves. Entropy: 5.0% wrong at 40% answered, 8.0% wrong at 80% answered, "
        "10.0% wrong at 100% answered."
    )


def test_the_first_curve_has_its_band():
    first = curve([0.0, 0.05, 0.06, 0.08, 0.1])
    banded = replace(first, low=[risk / 2 for risk in first.risk], high=[2 * risk for risk in first.risk])
    figure = risk_coverage_figure([banded, curve([0.1] * 5, name="Spread", style="second")])
    [band] = list(ElementTree.fromstring(figure.svg).iter("polygon"))
    corners = [tuple(float(part) for part in pair.split(",")) for pair in band.get("points").split()]

    for (x, y), high, low in zip(points(figure, "curve best"), corners[:5], reversed(corners[5:]), strict=True):
        assert high[0] == low[0] == x
        assert high[1] <= y <= low[1]
        assert 270 - low[1] == pytest.approx((270 - y) / 2, abs=0.11)
    assert "10.0% wrong (95% interval 5.0% to 20.0%) at 100% answered; Spread" in figure.alternative
    assert [key.name for key in figure.legend][:3] == ["Entropy", "Its 95% interval, share by share", "Spread"]
    assert "95%" not in str(risk_coverage_figure([first]).legend)
