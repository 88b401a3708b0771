from dataclasses import replace

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.records import RiskCoverageCurve
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.report.sections.when_to_abstain import when_to_abstain
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return when_to_abstain(read_source(write_run(tmp_path, metrics)))


def curve(*risk):
    return RiskCoverageCurve(coverage=(0.5, 1.0), risk=risk)


def with_curves(**curves):
    metrics = main_metrics()
    for name, each in curves.items():
        metrics.selective[name] = replace(metrics.selective[name], curve=each)
    return metrics


def test_scores_that_rank_alike_share_a_line(tmp_path):
    metrics = with_curves(
        mutual_information=curve(0.05, 0.1), one_minus_confidence=curve(0.04, 0.1), entropy=curve(0.04, 0.1)
    )

    assert content_of(tmp_path, metrics).legend == [
        ("best", "Mutual information"),
        ("second", "One minus confidence (the same as entropy)"),
    ]


def test_four_lines_at_most_and_the_best_first(tmp_path):
    metrics = with_curves(
        mutual_information=curve(0.05, 0.1),
        one_minus_confidence=curve(0.04, 0.1),
        entropy=curve(0.03, 0.1),
        spread=curve(0.02, 0.1),
    )
    metrics = replace(metrics, best_score=replace(metrics.best_score, best="spread"))
    legend = content_of(tmp_path, metrics).legend

    assert [name for _, name in legend] == ["Spread", "One minus confidence", "Entropy", "Mutual information"]
    assert len({style for style, _ in legend}) == 4


def test_a_score_that_says_nothing_has_no_line(tmp_path):
    metrics = with_curves(mutual_information=RiskCoverageCurve(coverage=(1.0,), risk=(0.1,)))
    assert "Mutual information" not in str(content_of(tmp_path, metrics).legend)


def test_a_single_example_has_numbers_but_no_figure(tmp_path):
    content = content_of(tmp_path, main_metrics(n=1))

    assert content.figure is None
    assert content.legend == []
    assert len(content.table.rows) == len(SCORES)


def test_the_two_tables_hold_every_quantity_of_every_score_once(tmp_path):
    content = content_of(tmp_path, main_metrics())

    for table in (content.table, content.more):
        assert [row.title for row in table.rows] == [score.title for score in SCORES]
        assert all(len(row.cells) == len(table.columns) - 1 for row in table.rows)
    titles = [column[:-2] for table in (content.table, content.more) for column in table.columns[1:]]
    assert sorted(titles) == sorted(quantity.title for quantity in SELECTIVE_NUMBERS)


def test_the_best_score_and_the_baseline_are_marked(tmp_path):
    rows = {row.title: row for row in content_of(tmp_path, main_metrics()).table.rows}

    assert rows["Mutual information"].strong
    assert (rows["Mutual information"].note, rows["One minus confidence"].note) == ("best AURC", "baseline")
    assert content_of(tmp_path, main_metrics()).answer == "Use mutual information."


def test_without_labels_there_is_nothing_to_say(tmp_path):
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
