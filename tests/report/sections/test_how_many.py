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
    assert content.answer == "From 7 members on, a further one changes little."


def test_only_the_nll_is_marked_and_only_where_it_is_known(tmp_path):
    metrics = main_metrics(members=10)
    unknown = replace(metrics, size_curve=replace(metrics.size_curve, slight_from=None))
    marked, plain = (content_of(tmp_path, each) for each in (metrics, unknown))

    words = "from here less than 0.001 each"
    assert [words in figure.svg for figure in (*marked.first, *marked.rest)] == [True] + [False] * 5
    assert not any(words in figure.svg for figure in (*plain.first, *plain.rest))


def test_every_further_member_has_its_row(tmp_path):
    table = content_of(tmp_path, main_metrics(members=10)).added

    assert table.columns == ("One member more", "Accuracy", "NLL (nats)", "Brier score")
    assert [row.title for row in table.rows] == ["1 to 2", "2 to 3", "3 to 5, each", "5 to 7, each", "7 to 10, each"]
    accuracy, nll, _ = table.rows[0].cells
    assert (nll.value, nll.note) == ("−0.0012", "−0.0112 to +0.0088")  # noqa: RUF001
    assert accuracy.note == "−1.12 to +0.88; p = 0.031"  # noqa: RUF001


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
