from dataclasses import replace

import pytest

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import protocol_parts, with_protocol
from ensemble_uq_llm.evaluation.records import Floor, Mean, MetricEstimate
from ensemble_uq_llm.report.sections.in_numbers import in_numbers
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from small_metrics import main_metrics, shifted_metrics, write_run
from small_protocols import KNOWN


def content_of(tmp_path, metrics):
    return in_numbers(read_source(write_run(tmp_path, metrics)))


def row_of(table, title):
    [row] = [row for row in table.rows if row.title == title]
    return row


def test_the_headline_has_value_interval_mean_member_and_difference(tmp_path):
    metrics = main_metrics()
    metrics.ensemble["nll"] = MetricEstimate(value=0.2512, ci95=(0.2, 0.3))
    metrics.members_mean["nll"] = Mean(value=0.2712)
    gained = Comparison(value=-0.02, ci95=(-0.03, -0.01), p_value=0.004)
    metrics.gain["nll"] = replace(metrics.gain["nll"], over_mean=gained)
    row = row_of(content_of(tmp_path, metrics).headline, "NLL (nats)")

    assert [cell.value for cell in row.cells] == ["0.251", "0.200 to 0.300", "0.271", "−0.0200"]  # noqa: RUF001
    assert row.cells[3].note == "p = 0.004"
    assert row.note == "lower is better"


def test_a_single_member_is_not_compared_with_itself(tmp_path):
    table = content_of(tmp_path, main_metrics(members=1)).headline

    assert table.columns == ("Metric", "Value", "95% interval")
    assert all(len(row.cells) == 2 for row in table.rows)


@pytest.mark.parametrize(("p_value", "reading"), [(0.3, "within chance"), (0.01, "more than chance")])
def test_a_calibration_error_is_read_against_its_noise_floor(tmp_path, p_value, reading):
    metrics = main_metrics()
    floor = Floor(mean=0.009, p95=0.0151, p_value=p_value)
    debiased = Estimate(value=0.004, ci95=(0.0, 0.013))
    metrics.ensemble["ece"] = MetricEstimate(value=0.012, ci95=(0.0, 0.02), noise_floor=floor, debiased=debiased)
    content = content_of(tmp_path, metrics)
    row = row_of(content.calibration, "ECE (15 bins)")

    assert [cell.value for cell in row.cells] == ["0.012", "0.004", "0.009", "0.015", reading]
    assert row.cells[1].note == "0.000 to 0.013"
    said = "a calibrated model would show 0.009, up to 0.015; without noise 0.004 (0.000 to 0.013)"
    assert said in row_of(content.headline, "ECE (15 bins)").note


def test_the_error_of_class_1_is_shown_once(tmp_path):
    def titles(classes):
        content = content_of(tmp_path / f"{classes}", main_metrics(classes=classes))
        return [row.title for row in content.calibration.rows]

    assert titles(2) == titles(5)
    assert "Classwise ECE" in titles(2)
    assert "ECE of class 1" not in titles(2)


def test_without_labels_only_uncertainties_are_left(tmp_path):
    content = content_of(tmp_path, main_metrics(labelled=0))

    assert content.headline is content.calibration is content.brier is content.truth is None
    assert [row.title for row in content.uncertainty.rows][:2] == ["Confidence", "Entropy (total), nats"]


def test_the_truth_is_shown_where_it_is_known(tmp_path):
    assert len(content_of(tmp_path, main_metrics(truth=True)).truth.rows) >= 5


def test_the_protocol_has_its_parts_and_what_other_sets_have_otherwise(tmp_path):
    far = with_protocol(shifted_metrics("far"), replace(KNOWN, evaluated_rows=7))
    folder = write_run(tmp_path, with_protocol(main_metrics(), KNOWN), far)
    own = protocol_parts(KNOWN)
    expected = [*own, ("Evaluated, far", "7 rows of sst2[validation] (aaaabbbbcccc), 3 cut")]
    assert in_numbers(read_source(folder)).protocol == expected


def test_metrics_of_an_earlier_version_have_no_protocol(tmp_path):
    content = content_of(tmp_path, main_metrics())
    assert (content.protocol, content.options) == ([], "")
