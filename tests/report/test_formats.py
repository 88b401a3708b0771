import pytest

from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.records import Floor, MetricEstimate
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.report.formats import (
    METRIC_BY_NAME,
    UNDEFINED,
    few_members_in_words,
    noise_floor_in_words,
    score_in_text,
    score_title,
    show_difference,
    show_interval,
    show_value,
    typeset,
)


def test_every_score_and_metric_has_its_title():
    assert [score_title(score.name) for score in SCORES] == [score.title for score in SCORES]
    assert list(METRIC_BY_NAME.values()) == list(METRICS)


def test_within_a_sentence_titles_begin_small_but_keep_their_names():
    assert score_in_text("expected_pairwise_kl") == "expected pairwise KL"


def test_a_score_of_a_later_version_is_shown_by_its_name():
    assert score_title("some_new_score") == "some new score"


def test_values_and_intervals_are_shown_in_their_format():
    assert show_value(0.8765, ".1%") == "87.6%"
    assert show_interval((-0.1, 0.9), ".2f") == "-0.10 to 0.90"
    assert show_value(None, ".1%") == show_interval(None, ".1%") == UNDEFINED


def test_a_page_has_a_minus_sign():
    assert typeset("-0.10 to 0.90") == "−0.10 to 0.90"  # noqa: RUF001


@pytest.mark.parametrize(
    ("difference", "form", "shown"),
    [
        (0.0123, ".3f", "+0.0123"),
        (-0.0123, ".3f", "−0.0123"),  # noqa: RUF001
        (-0.00001, ".3f", "+0.0000"),
        (0.0123, ".1%", "+1.23 points"),
        (-0.4, ".1%", "−40.00 points"),  # noqa: RUF001
    ],
)
def test_differences_have_a_sign_and_one_more_digit(difference, form, shown):
    assert show_difference(difference, form) == shown


def test_a_noise_floor_is_said_in_words_and_without_draws_not_at_all():
    floor = Floor(mean=0.009, p95=0.0151, p_value=0.3)
    said = noise_floor_in_words(MetricEstimate(value=0.1, ci95=None, noise_floor=floor), ".3f")

    assert said == "a calibrated model would show 0.009, up to 0.015"
    assert noise_floor_in_words(MetricEstimate(value=0.1, ci95=None), ".3f") == ""


def test_what_two_or_three_members_know_of_their_disagreement():
    assert [members for members in range(1, 12) if few_members_in_words(members)] == [2, 3]
