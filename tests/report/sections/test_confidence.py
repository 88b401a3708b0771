from dataclasses import replace
from xml.etree import ElementTree

from ensemble_uq_llm.evaluation.records import FittedTemperature, MetricEstimate, Reliability
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.report.sections.confidence import confidence
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Comparison
from small_metrics import main_metrics, shifted_metrics, write_run


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


def axis_labels(figure):
    return [each.text for each in ElementTree.fromstring(figure.svg).iter("text") if "%" in each.text]


def test_every_diagram_after_a_temperature_and_of_other_sets_is_on_one_axis(tmp_path):
    metrics, other = main_metrics(), shifted_metrics("strange")
    low = replace(other.reliability.bins[0], low=0.2, high=4 / 15, confidence=0.25)
    other = replace(other, reliability=Reliability(bins=(low, *other.reliability.bins)))
    content = confidence(read_source(write_run(tmp_path, metrics, other, shifted_metrics("unknown", labelled=0))))

    assert [figure.title for figure in content.temperature.figures] == [
        "One temperature (T = 1.24)",
        next(c for c in content.temperature.table.columns if c.startswith("One a member")),
    ]
    assert [figure.title for figure in content.others] == ["strange"]
    drawn = [content.figure, *content.temperature.figures, *content.others]
    assert {tuple(axis_labels(figure)) for figure in drawn} == {tuple(axis_labels(content.figure))}


def test_metrics_without_diagrams_after_scaling_show_none(tmp_path):
    metrics = main_metrics()
    scaling = metrics.temperature
    bare = replace(
        scaling,
        pooled=replace(scaling.pooled, reliability=None),
        per_member=replace(scaling.per_member, reliability=None),
    )

    assert content_of(tmp_path, replace(metrics, temperature=bare)).temperature.figures == []


def test_a_single_member_has_one_temperature(tmp_path):
    temperature = content_of(tmp_path, main_metrics(members=1)).temperature
    assert len(temperature.table.columns) == 4
    assert len(temperature.figures) == 1


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
