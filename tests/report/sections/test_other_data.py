from dataclasses import replace

from ensemble_uq_llm.evaluation.records import Finding, MetricEstimate
from ensemble_uq_llm.evaluation.scores import SCORES
from ensemble_uq_llm.report.sections.other_data import other_data
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from small_metrics import main_metrics, shifted_metrics, write_run


def content_of(tmp_path, *sets):
    return other_data(read_source(write_run(tmp_path, *sets)))


def test_a_shifted_set_is_shown_with_its_change_and_the_chosen_score(tmp_path):
    strange = shifted_metrics("strange")
    strange.ensemble["accuracy"] = MetricEstimate(value=0.7, ci95=(0.6, 0.8))
    strange.constant_answers.metrics["accuracy"] = replace(
        strange.constant_answers.metrics["accuracy"], value=Estimate(value=0.55, ci95=None)
    )
    strange.shift.change["accuracy"] = Comparison(value=-0.123, ci95=(-0.2, -0.1), p_value=0.002)
    strange.shift.numbers["auroc"]["mutual_information"] = Estimate(value=0.9123, ci95=(0.88, 0.93))
    strange.shift.numbers["fpr95"]["mutual_information"] = Estimate(value=0.25, ci95=None)
    content = content_of(tmp_path, main_metrics(), strange)
    main, row = content.sets.rows

    assert (main.title, main.strong, main.cells[-1].value) == ("validation", True, "—")
    assert (row.title, row.note) == ("strange", "300 examples, shifted")
    assert (row.cells[0].value, row.cells[0].note) == ("70.0%", "−12.30 points, p = 0.002")  # noqa: RUF001
    assert row.cells[1].value == "55.0%"
    assert [(cell.value, cell.note) for cell in row.cells[-3:]] == [
        ("0.912", "0.880 to 0.930"), ("25.0%", ""), ("less sure of it", "p = 0.002"),
    ]  # fmt: skip
    assert content.judged_by == "mutual information"


def test_every_quantity_has_a_table_of_all_scores_with_the_chosen_one_marked(tmp_path):
    content = content_of(tmp_path, main_metrics(), shifted_metrics("strange"))

    assert [title for title, _ in content.detection] == ["AUROC", "AUPR-in", "AUPR-out", "FPR at 95% TPR"]
    for _, table in content.detection:
        assert table.columns == ("Score", "strange")
        assert [row.title for row in table.rows] == [score.title for score in SCORES]
        marked = [score.name for score, row in zip(SCORES, table.rows, strict=True) if row.cells[0].strong]
        assert marked == ["mutual_information"]


def test_other_data_are_not_called_shifted(tmp_path):
    content = content_of(tmp_path, main_metrics(), replace(shifted_metrics("stream"), role="other"))

    assert content.sets.rows[1].note == "300 examples, other data"
    assert "the other set than" in content.sentences[0]
    assert "shifted" not in " ".join(content.sentences)


def test_what_their_own_numbers_say_names_the_set(tmp_path):
    strange = replace(shifted_metrics("strange"), findings=(Finding(kind="one_class", n=300, label=1),))

    assert any(
        each.startswith("strange: All 300 labels are")
        for each in content_of(tmp_path, main_metrics(), strange).sentences
    )


def test_unlabelled_sets_have_no_quality_but_detection(tmp_path):
    content = content_of(tmp_path, main_metrics(), shifted_metrics("strange", labelled=0))

    assert [cell.value for cell in content.sets.rows[1].cells[:4]] == ["—"] * 4
    assert content.sets.rows[1].cells[-3].value != "—"


def test_where_nothing_is_labelled_quality_has_no_columns(tmp_path):
    content = content_of(tmp_path, main_metrics(labelled=0), shifted_metrics("strange", labelled=0))

    assert content.sets.columns == ["Set", "Mean entropy", "Mean MI", "AUROC", "FPR95", "Reading"]


def test_other_sets_without_a_reference_are_only_listed(tmp_path):
    content = content_of(tmp_path, main_metrics("a"), replace(main_metrics("b"), role="other"))

    assert content.detection == []
    assert [len(row.cells) for row in content.sets.rows] == [4, 4]
    assert content.judged_by == ""
    assert content.sentences == []


def test_a_single_set_has_no_such_section(tmp_path):
    assert content_of(tmp_path, main_metrics()) is None


def test_every_compared_set_has_its_roc_curves_the_recommended_score_first(tmp_path):
    content = content_of(tmp_path, main_metrics(), shifted_metrics("strange"), shifted_metrics("odd"))

    assert [figure.title for figure in content.roc] == ["strange", "odd"]
    for figure, column in zip(content.roc, (0, 1), strict=True):
        areas = {row.title: row.cells[column].value for row in dict(content.detection)["AUROC"].rows}
        shown = [key.name.split(", AUROC ") for key in figure.legend if "AUROC" in key.name]
        assert shown == [[name, areas[name]] for name in ("Mutual information", "One minus confidence", "Entropy")]
    other = replace(main_metrics("other"), role="other")
    assert content_of(tmp_path / "other", main_metrics(), other).roc == []


def test_a_single_member_has_no_scores_of_disagreement(tmp_path):
    content = content_of(tmp_path, main_metrics(members=1), shifted_metrics("strange"))

    for _, table in content.detection:
        assert [row.title for row in table.rows][-1] == "Expected entropy"
    assert not any("Mutual information" in key.name for figure in content.roc for key in figure.legend)
