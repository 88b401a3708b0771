from dataclasses import replace

import pytest

from ensemble_uq_llm.report.sections.class_sets import ClassSets, class_sets
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return class_sets(read_source(write_run(tmp_path, metrics)))


def test_every_level_shows_every_method(tmp_path):
    rows = content_of(tmp_path, main_metrics()).table.rows

    methods = ("LAC", "APS", "Class by class")
    assert [(row.title, row.note) for row in rows] == [
        (level, each) for level in ("80%", "90%", "95%") for each in methods
    ]


@pytest.mark.parametrize(
    ("interval", "word"), [((0.7, 0.75), "missed"), ((0.78, 0.82), "kept"), ((0.81, 0.9), "exceeded"), (None, "")]
)
def test_the_interval_says_whether_the_promise_was_kept(tmp_path, interval, word):
    metrics = main_metrics()
    lac = metrics.conformal.methods["lac"]
    lac["0.80"] = replace(lac["0.80"], coverage=Estimate(value=0.8, ci95=interval))

    assert content_of(tmp_path, metrics).table.rows[0].cells[1].value == word


def test_sizes_and_classes_are_told_apart(tmp_path):
    content = content_of(tmp_path, main_metrics(classes=5))

    assert [row.cells[0].value for row in content.by_size.rows[:2]] == ["1", "2"]
    assert [row.cells[0].value for row in content.by_class.rows[:5]] == [f"class {c}" for c in range(5)]
    assert content.by_size.rows[0].cells[2].note == "81.0% to 97.0%"


def test_without_calibration_there_is_no_table_and_without_labels_nothing(tmp_path):
    assert content_of(tmp_path, main_metrics(calibrated=False)) == ClassSets()
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
