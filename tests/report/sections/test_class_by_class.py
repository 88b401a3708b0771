from dataclasses import replace

from ensemble_uq_llm.report.sections.class_by_class import MOST_IN_FULL, class_by_class
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return class_by_class(read_source(write_run(tmp_path, metrics)))


def test_every_class_has_its_balance_and_its_numbers(tmp_path):
    metrics = main_metrics(classes=3)
    first = replace(metrics.by_class.classes[0], precision=Estimate(value=0.5, ci95=(0.4, 0.6)))
    by_class = replace(metrics.by_class, classes=(first, *metrics.by_class.classes[1:]))
    content = content_of(tmp_path, replace(metrics, by_class=by_class))

    assert [row.title for row in content.classes.rows] == ["class 0", "class 1", "class 2"]
    counted, answered, precision, *_ = content.classes.rows[0].cells
    assert (counted.value, counted.note, answered.value) == ("300", "33.3%", "300")
    assert (precision.value, precision.note) == ("50.0%", "40.0% to 60.0%")
    assert not content.folded


def test_few_classes_have_their_whole_matrix(tmp_path):
    matrix = content_of(tmp_path, main_metrics(classes=3)).matrix

    assert [[cell.value for cell in row.cells] for row in matrix.rows] == [
        ["200", "100", "0"], ["0", "200", "100"], ["100", "0", "200"],
    ]  # fmt: skip
    assert [cell.note for cell in matrix.rows[0].cells] == ["66.7%", "33.3%", "0.0%"]
    assert [cell.strong for cell in matrix.rows[0].cells] == [True, False, False]


def test_a_class_without_labels_has_no_shares(tmp_path):
    metrics = main_metrics()
    empty = replace(metrics.by_class, matrix=((0, 0), (3, 4)))

    assert [cell.note for cell in content_of(tmp_path, replace(metrics, by_class=empty)).matrix.rows[0].cells] == [
        "—"
    ] * 2


def test_of_many_classes_the_largest_confusions_are_shown_and_the_rest_folded(tmp_path):
    content = content_of(tmp_path, main_metrics(classes=77, n=1540))

    assert MOST_IN_FULL < 77
    assert (content.matrix, content.folded, len(content.classes.rows)) == (None, True, 77)
    first = content.confusions.rows[0]
    assert (first.title, [cell.value for cell in first.cells]) == ("class 0 taken for class 1", ["6", "30.0%"])
    assert len(content.confusions.rows) == 10


def test_without_labels_there_is_no_such_section(tmp_path):
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
