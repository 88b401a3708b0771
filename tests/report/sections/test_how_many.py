from dataclasses import replace

from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE
from ensemble_uq_llm.evaluation.records import Pair, PairwiseNumber
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.report.sections.how_many import how_many
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import main_metrics, write_run


def content_of(tmp_path, metrics):
    return how_many(read_source(write_run(tmp_path, metrics)))


def test_every_headline_metric_has_a_curve_nll_and_accuracy_first(tmp_path):
    content = content_of(tmp_path, main_metrics(members=10))
    titles = [figure.title.partition(" by number")[0] for figure in [*content.first, *content.rest]]

    assert titles[:2] == ["NLL (nats)", "Accuracy"]
    assert sorted(titles) == sorted(metric.title for metric in HEADLINE)
    assert content.answer == "7 members are enough."


def test_a_metric_that_is_undefined_for_some_size_has_no_curve(tmp_path):
    metrics = main_metrics()
    curves = metrics.size_curve.metrics
    curves["auc"] = replace(curves["auc"], p5=(None, *curves["auc"].p5[1:]))

    assert "ROC AUC" not in str([figure.title for figure in content_of(tmp_path, metrics).rest])


def with_pairs(least, most):
    metrics = main_metrics()
    metrics.diversity["disagreement"] = PairwiseNumber(
        mean=Estimate(value=0.1, ci95=(0.08, 0.12)),
        min=Pair(value=0.05, members=least),
        max=Pair(value=0.2, members=most),
        matrix=None,
    )
    return metrics


def test_diversity_names_the_pairs(tmp_path):
    metrics = with_pairs(trained((42, 44)), trained((43, 46)))
    different, errors = content_of(tmp_path, metrics).diversity.rows

    assert [(cell.value, cell.note) for cell in different.cells] == [
        ("10.0%", "8.0% to 12.0%"), ("5.0%", "seeds 42 and 44"), ("20.0%", "seeds 43 and 46"),
    ]  # fmt: skip
    assert [cell.value for cell in errors.cells[1:]] == ["—", "—"]


def test_pairs_of_samples_are_named_in_full(tmp_path):
    metrics = with_pairs((MemberId(42), MemberId(42, 3)), (MemberId(42, 3), MemberId(43)))
    different, _ = content_of(tmp_path, metrics).diversity.rows

    assert [cell.note for cell in different.cells[1:]] == [
        "seed 42 and seed 42, sample 3", "seed 42, sample 3 and seed 43",
    ]  # fmt: skip


def test_one_member_is_all_there_is(tmp_path):
    assert content_of(tmp_path, main_metrics(members=1)) is None
