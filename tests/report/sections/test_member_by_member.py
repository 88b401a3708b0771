from ensemble_uq_llm.report.sections.member_by_member import members
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return members(read_source(write_run(tmp_path, metrics)))


def test_members_stand_below_the_ensemble_and_their_mean(tmp_path):
    metrics = main_metrics(members=3)
    metrics["per_member"][1]["accuracy"] = {"value": 0.712, "ci95": [0.7, 0.72]}
    table = content_of(tmp_path, metrics)["table"]

    assert [row.title for row in table.rows] == ["Ensemble", "Mean member", "Seed 42", "Seed 43", "Seed 44"]
    assert [row.strong for row in table.rows] == [True, False, False, False, False]
    assert (table.rows[3].cells[0].value, table.rows[3].cells[0].note) == ("71.2%", "70.0% to 72.0%")
    assert all(len(row.cells) == len(table.columns) - 1 for row in table.rows)


def test_one_member_or_no_label_needs_no_table(tmp_path):
    assert content_of(tmp_path, main_metrics(members=1)) is None
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
