from dataclasses import replace

import pytest

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS
from ensemble_uq_llm.evaluation.records import RiskCoverageCurve
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.report.sections.when_to_abstain import when_to_abstain
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Estimate
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


def names(figure):
    """Of the scores' curves, without their AUROCs."""
    return [
        key.name.partition(", AUROC")[0] for key in figure.legend if "curve" in key.symbol and key.name[:4] != "Its "
    ]


def test_scores_that_rank_alike_share_a_line(tmp_path):
    metrics = with_curves(
        mutual_information=curve(0.05, 0.1), one_minus_confidence=curve(0.04, 0.1), entropy=curve(0.04, 0.1)
    )

    assert names(content_of(tmp_path, metrics).figure)[:-2] == [
        "Mutual information",
        "One minus confidence (the same as entropy)",
    ]


@pytest.mark.parametrize("better", [True, False])
def test_the_recommended_score_is_the_bold_row_and_the_first_curve_everywhere(tmp_path, better):
    metrics = with_curves(spread=curve(0.02, 0.1), one_minus_confidence=curve(0.04, 0.1))
    spread = metrics.selective["spread"]
    lowest = replace(spread, numbers={**spread.numbers, "aurc": Estimate(value=0.001, ci95=None)})
    metrics = replace(
        metrics,
        selective={**metrics.selective, "spread": lowest},
        best_score=replace(metrics.best_score, best="spread", really_better=better),
    )
    content = content_of(tmp_path, metrics)
    recommended, other = ("Spread", "One minus confidence")[:: 1 if better else -1]

    for figure in (content.figure, content.roc):
        assert names(figure)[:2] == [recommended, other]
    for table in (content.table, content.more):
        assert [row.title for row in table.rows if row.strong] == [recommended]
    notes = {row.title: row.note for row in content.table.rows if row.note}
    assert notes == (
        {"Spread": "recommended, lowest AURC", "One minus confidence": "baseline"}
        if better
        else {"Spread": "lowest AURC", "One minus confidence": "recommended, baseline"}
    )


def test_a_score_that_says_nothing_has_no_line(tmp_path):
    metrics = with_curves(mutual_information=RiskCoverageCurve(coverage=(1.0,), risk=(0.1,)))
    assert "Mutual information" not in names(content_of(tmp_path, metrics).figure)


def test_the_roc_curves_have_the_aurocs_of_the_table(tmp_path):
    content = content_of(tmp_path, main_metrics())
    column = content.table.columns.index("AUROC of errors\N{NO-BREAK SPACE}↑") - 1
    areas = {row.title: row.cells[column].value for row in content.table.rows}

    shown = [key.name.split(", AUROC ") for key in content.roc.legend if "AUROC" in key.name]
    assert [area for _, area in shown] == [areas[name.partition(" (")[0]] for name, _ in shown]
    assert len(shown) >= 3


def test_without_draws_there_is_no_band(tmp_path):
    metrics = main_metrics()
    bare = {name: replace(each, curve=replace(each.curve, low=(), high=())) for name, each in metrics.selective.items()}

    assert content_of(tmp_path, metrics).banded
    assert not content_of(tmp_path, replace(metrics, selective=bare)).banded


def test_a_single_example_has_numbers_but_no_figure(tmp_path):
    content = content_of(tmp_path, main_metrics(n=1))

    assert content.figure is None
    assert content.roc is None
    assert len(content.table.rows) == len(SCORES)


def test_the_two_tables_hold_every_quantity_of_every_score_once(tmp_path):
    content = content_of(tmp_path, main_metrics())

    for table in (content.table, content.more):
        assert [row.title for row in table.rows] == [score.title for score in SCORES]
        assert all(len(row.cells) == len(table.columns) - 1 for row in table.rows)
    titles = [column[:-2] for table in (content.table, content.more) for column in table.columns[1:]]
    assert sorted(titles) == sorted(quantity.title for quantity in SELECTIVE_NUMBERS)


def test_without_labels_there_is_nothing_to_say(tmp_path):
    assert content_of(tmp_path, main_metrics(labelled=0)) is None


def test_a_single_member_has_no_scores_of_disagreement(tmp_path):
    content = content_of(tmp_path, main_metrics(members=1))

    doubts = ["One minus confidence", "One minus margin", "Entropy", "Expected entropy"]
    for table in (content.table, content.more):
        assert [row.title for row in table.rows] == doubts
    for figure in (content.figure, content.roc):
        assert not any("Mutual information" in name for name in names(figure))
