from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.report.sections.member_by_member import member_by_member
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return member_by_member(read_source(write_run(tmp_path, metrics)))


def test_members_stand_below_the_ensemble_and_their_mean(tmp_path):
    metrics = main_metrics(members=3)
    metrics.per_member[1].metrics["accuracy"] = Estimate(value=0.712, ci95=(0.7, 0.72))
    table = content_of(tmp_path, metrics)

    assert [row.title for row in table.rows] == ["Ensemble", "Mean member", "Seed 42", "Seed 43", "Seed 44"]
    assert [row.strong for row in table.rows] == [True, False, False, False, False]
    assert (table.rows[3].cells[0].value, table.rows[3].cells[0].note) == ("71.2%", "70.0% to 72.0%")
    assert all(len(row.cells) == len(table.columns) - 1 for row in table.rows)


def test_two_samples_of_one_seed_have_a_row_each(tmp_path):
    table = content_of(tmp_path, main_metrics(members=(MemberId(42), MemberId(42, 3))))

    assert [row.title for row in table.rows[2:]] == ["Seed 42", "Seed 42, sample 3"]


def test_one_member_or_no_label_needs_no_table(tmp_path):
    assert content_of(tmp_path, main_metrics(members=1)) is None
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
