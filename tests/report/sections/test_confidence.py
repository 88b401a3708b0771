from dataclasses import replace

from ensemble_uq_llm.evaluation.records import FittedTemperature, MetricEstimate
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.report.sections.confidence import confidence
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Comparison
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return confidence(read_source(write_run(tmp_path, metrics)))


def temperatures(*values, at_bound=()):
    """Those of the members from seed 42 on, or (of a single value) that of the pooled probability."""
    members = [None] if len(values) == 1 else [MemberId(42 + m) for m in range(len(values))]
    return tuple(
        FittedTemperature(member=member, value=value, at_bound=member in at_bound)
        for member, value in zip(members, values, strict=True)
    )


def with_temperatures(metrics, *, pooled, per_member):
    scaling = metrics.temperature
    scaling = replace(
        scaling,
        pooled=replace(scaling.pooled, temperatures=pooled),
        per_member=replace(scaling.per_member, temperatures=per_member),
    )
    return replace(metrics, temperature=scaling)


def test_the_temperature_table_shows_before_after_and_change(tmp_path):
    metrics = with_temperatures(main_metrics(), pooled=temperatures(1.237), per_member=temperatures(1.1, 1.42, 1.2))
    metrics.ensemble["nll"] = MetricEstimate(value=0.30, ci95=None)
    metrics.temperature.pooled.after["nll"] = MetricEstimate(value=0.28, ci95=None)
    metrics.temperature.pooled.change["nll"] = Comparison(value=-0.02, ci95=None, p_value=0.01)
    table = content_of(tmp_path, metrics).temperature.table

    assert table.columns == [
        "Metric", "As it is", "One temperature (T = 1.24)", "Change", "One a member (T = 1.10 to 1.42)", "Change",
    ]  # fmt: skip
    [row] = [row for row in table.rows if row.title == "NLL (nats)"]
    assert [cell.value for cell in row.cells[:3]] == ["0.300", "0.280", "−0.0200"]  # noqa: RUF001


def test_a_single_member_has_one_temperature(tmp_path):
    assert len(content_of(tmp_path, main_metrics(members=1)).temperature.table.columns) == 4


def test_temperatures_at_the_bound_are_named(tmp_path):
    metrics = main_metrics()
    assert content_of(tmp_path, metrics).temperature.warning == ""
    own = temperatures(1.0, 100.0, 1.0, 100.0, at_bound=(MemberId(43), MemberId(45)))
    metrics = with_temperatures(metrics, pooled=temperatures(100.0, at_bound=(None,)), per_member=own)
    assert "of the ensemble, seed 43, seed 45 lies beyond" in content_of(tmp_path, metrics).temperature.warning


def test_without_calibration_examples_there_is_no_table_and_without_labels_nothing(tmp_path):
    content = content_of(tmp_path, main_metrics(calibrated=False))

    assert content.temperature is None
    assert content.figure.title == "Accuracy by confidence"
    assert content_of(tmp_path, main_metrics(labelled=0)) is None
