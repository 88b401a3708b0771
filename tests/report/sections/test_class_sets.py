from dataclasses import replace

from ensemble_uq_llm.evaluation.records import Promise
from ensemble_uq_llm.report.sections.class_sets import ClassSets, class_sets
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return class_sets(read_source(write_run(tmp_path, metrics)))


def test_every_level_shows_every_method(tmp_path):
    rows = content_of(tmp_path, main_metrics()).table.rows

    methods = ("LAC", "APS", "Class by class")
    assert [(row.title, row.note) for row in rows] == [
        (level, each) for level in ("80%", "90%", "95%") for each in methods
    ]


def test_the_verdict_stands_beside_what_is_usual(tmp_path):
    metrics = main_metrics()
    lac = metrics.conformal.methods["lac"]
    promise = Promise(verdict="missed", expected95=(0.712, 0.871))
    lac["0.80"] = replace(lac["0.80"], promise=promise)
    rows = content_of(tmp_path, metrics).table.rows

    assert (rows[0].cells[1].value, rows[0].cells[1].note) == ("missed", "71.2% to 87.1% is usual")
    assert rows[3].cells[1].value == "kept"


def with_judged_classes(*verdicts):
    """Metrics whose rule for every class is judged class by class, and as a whole as the first class."""
    metrics = main_metrics(classes=len(verdicts))
    rules = metrics.conformal.methods["class_conditional"]
    judged = [Promise(verdict=verdict, expected95=(0.7, 0.9)) for verdict in verdicts]
    of_class = [replace(each, promise=promise) for each, promise in zip(rules["0.80"].by_class, judged, strict=True)]
    whole = Promise(verdict=verdicts[0], expected95=None)
    rules["0.80"] = replace(rules["0.80"], by_class=tuple(of_class), promise=whole)
    return metrics


def test_of_a_rule_for_every_class_it_is_said_which_break_the_promise(tmp_path):
    content = content_of(tmp_path, with_judged_classes("missed", "kept", "missed"))

    cell = content.table.rows[2].cells[1]
    assert (cell.value, cell.note) == ("missed", "for class 0 and class 2")
    assert content.by_class.columns[-1] == "Promise"
    words = [row.cells[3].value for row in content.by_class.rows if (row.title, row.note) == ("80%", "Class by class")]
    assert words == ["missed", "kept", "missed"]
    assert content_of(tmp_path, with_judged_classes("kept", "kept")).table.rows[2].cells[1].note == ""


def test_what_two_classes_and_empty_sets_are_is_said_where_they_are(tmp_path):
    two, five = (content_of(tmp_path, main_metrics(classes=classes)) for classes in (2, 5))

    assert (two.two_classes, five.two_classes) == (True, False)
    assert two.empty
    full = main_metrics()
    for levels in full.conformal.methods.values():
        levels.update({level: replace(sets, empty=0.0) for level, sets in levels.items()})
    assert not content_of(tmp_path, full).empty


def test_sizes_and_classes_are_told_apart(tmp_path):
    content = content_of(tmp_path, main_metrics(classes=5))

    assert [row.cells[0].value for row in content.by_size.rows[:2]] == ["1", "2"]
    assert [row.cells[0].value for row in content.by_class.rows[:5]] == [f"class {c}" for c in range(5)]
    assert content.by_size.rows[0].cells[2].note == "81.0% to 97.0%"


def test_without_calibration_there_is_no_table_and_without_labels_nothing(tmp_path):
    assert content_of(tmp_path, main_metrics(calibrated=False)) == ClassSets()
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
