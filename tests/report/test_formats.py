from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.report.formats import METRIC_BY_NAME, score_in_text, score_title


def test_every_score_and_metric_has_its_title():
    assert [score_title(score.name) for score in SCORES] == [score.title for score in SCORES]
    assert list(METRIC_BY_NAME.values()) == list(METRICS)


def test_within_a_sentence_titles_begin_small_but_keep_their_names():
    assert score_in_text("expected_pairwise_kl") == "expected pairwise KL"


def test_a_score_of_a_later_version_is_shown_by_its_name():
    assert score_title("some_new_score") == "some new score"
