from ensemble_uq_llm.report.sections.confidence import calibration
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return calibration(read_source(write_run(tmp_path, metrics)))


def test_the_temperature_table_shows_before_after_and_change(tmp_path):
    metrics = main_metrics()
    metrics["ensemble"]["nll"] = {"value": 0.30, "ci95": None}
    pooled = metrics["temperature"]["pooled"]
    pooled["temperature"] = 1.237
    pooled["after"]["nll"] = {"value": 0.28, "ci95": None}
    pooled["change"]["nll"] = {"value": -0.02, "ci95": None, "p_value": 0.01}
    metrics["temperature"]["per_member"]["temperatures"] = {"42": 1.1, "43": 1.42, "44": 1.2}
    table = content_of(tmp_path, metrics)["temperature"]

    assert table.columns == [
        "Metric", "As it is", "One temperature (T = 1.24)", "Change", "One a member (T = 1.10 to 1.42)", "Change",
    ]  # fmt: skip
    [row] = [row for row in table.rows if row.title == "NLL (nats)"]
    assert [cell.value for cell in row.cells[:3]] == ["0.300", "0.280", "−0.0200"]  # noqa: RUF001


def test_a_single_member_has_one_temperature(tmp_path):
    assert len(content_of(tmp_path, main_metrics(members=1))["temperature"].columns) == 4


def test_temperatures_at_the_bound_are_named(tmp_path):
    metrics = main_metrics()
    assert content_of(tmp_path, metrics)["warning"] == ""
    metrics["temperature"]["pooled"]["at_bound"] = True
    metrics["temperature"]["per_member"]["at_bound"] = [43, 45]
    assert "of the ensemble, seed 43, seed 45 lies beyond" in content_of(tmp_path, metrics)["warning"]


def test_without_calibration_examples_there_is_no_table_and_without_labels_nothing(tmp_path):
    content = content_of(tmp_path, main_metrics(calibrated=False))

    assert content["temperature"] is content["fitted"] is None
    assert content["figure"].title == "Accuracy by confidence"
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
