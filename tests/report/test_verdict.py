from dataclasses import replace

from ensemble_uq_llm.evaluation.records import Finding, Floor, Mean, MetricEstimate
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.report.verdict import verdict
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from small_metrics import main_metrics, shifted_metrics, write_run


def said(tmp_path, *sets):
    return verdict(read_source(write_run(tmp_path, *sets))).striptags()


def test_it_says_how_good_it_is_and_what_it_claims(tmp_path):
    metrics = main_metrics()
    floor = Floor(mean=0.02, p95=0.04, p_value=0.3)
    metrics.ensemble["accuracy"] = MetricEstimate(value=0.812, ci95=(0.79, 0.83))
    metrics.members_mean["accuracy"] = Mean(value=0.801)
    always = replace(metrics.constant_answers.metrics["accuracy"], value=Estimate(value=0.622, ci95=None))
    metrics.constant_answers.metrics["accuracy"] = always
    metrics.ensemble["ece"] = MetricEstimate(value=0.0312, ci95=(0.02, 0.04), noise_floor=floor)

    assert said(tmp_path, metrics).startswith(
        "On 900 labelled examples of validation, the ensemble of 5 members answers 81.2% correctly "
        "(95% interval 79.0% to 83.0%; its mean member 80.1%; always answering 'class 0' 62.2%) and claims 87.3%; "
        "its calibration error is 0.031, which chance alone would explain."
    )


def test_a_calibration_error_beyond_chance_is_called_that(tmp_path):
    metrics = main_metrics()
    floor = Floor(mean=0.02, p95=0.04, p_value=0.001)
    metrics.ensemble["ece"] = replace(metrics.ensemble["ece"], noise_floor=floor)

    assert "more than chance would explain" in said(tmp_path, metrics)


def test_a_gain_of_pooling_is_said_where_it_is_surely_more_than_slight(tmp_path):
    metrics = main_metrics()
    metrics.ensemble["nll"] = MetricEstimate(value=0.3022, ci95=(0.26, 0.35))
    metrics.members_mean["nll"] = Mean(value=0.3068)
    gain = metrics.gain["nll"]

    def with_interval(low, high, **changes):
        over_mean = Comparison(value=-0.0046, ci95=(low, high), p_value=0.002)
        return replace(metrics, gain={**metrics.gain, "nll": replace(gain, over_mean=over_mean)}, **changes)

    sure = with_interval(-0.0058, -0.0036)
    sentence = "Pooling its members lowers the NLL from 0.307 to 0.302, by 0.0046 (95% interval 0.0036 to 0.0058)."
    assert sentence in said(tmp_path, sure)
    worse = Comparison(value=-0.086, ci95=(-0.12, -0.05), p_value=0.002)
    hurts = Finding(kind="ensemble_hurts", n=900, metric="accuracy", value=0.71, other=0.796, difference=worse)
    for silent in (with_interval(-0.0058, -0.0009), replace(sure, labelled=19), replace(sure, findings=(hurts,))):
        assert "Pooling its members lowers" not in said(tmp_path, silent)


def test_abstention_counts_the_mistakes_of_the_score_to_use(tmp_path):
    metrics = main_metrics()
    for name, risk in (("mutual_information", 0.111), ("one_minus_confidence", 0.222)):
        metrics.selective[name].numbers["risk_at_coverage_80"] = Estimate(value=risk, ci95=None)

    assert "Of the 80% of questions that it is surest of, it gets 11.1% wrong." in said(tmp_path, metrics)
    unsure = replace(metrics, best_score=replace(metrics.best_score, really_better=False))
    assert "it gets 22.2% wrong." in said(tmp_path, unsure)
    assert "surest of" not in said(tmp_path, replace(metrics, labelled=19))


def test_what_went_wrong_follows_at_once(tmp_path):
    worse = Comparison(value=-0.086, ci95=(-0.12, -0.05), p_value=0.002)
    numbers = {"n": 900, "metric": "accuracy", "value": 0.71, "other": 0.796, "difference": worse}
    metrics = replace(main_metrics(), findings=(Finding(kind="ensemble_hurts", **numbers),))
    strange = replace(
        shifted_metrics("strange"),
        findings=(
            Finding(kind="worse_but_surer", scores=("entropy",), **numbers),
            Finding(kind="one_class", n=9, label=0),
        ),
    )
    words = said(tmp_path, metrics, strange)

    assert words.index(
        "Pooling hurts: the ensemble is worse than its mean member, its accuracy 71.0% against 79.6%"
    ) < (words.index("Of the 80% of questions"))
    assert words.count("Beware of strange") == 1
    assert "All 9 labels" not in words  # what concerns another set alone stands in its section


def test_every_other_set_is_named_or_counted(tmp_path):
    words = said(tmp_path, main_metrics(), *(shifted_metrics(f"s{i}", seed=i) for i in range(6)))

    assert "By its mutual information, it is less sure of all 6 shifted sets than of validation, AUROC " in words
    assert " and 2 more." in words


def test_a_single_member_is_no_ensemble(tmp_path):
    words = said(tmp_path, main_metrics(members=1))

    assert "the single member answers" in words
    assert "mean member" not in words


def test_what_is_claimed_of_other_examples_is_not_compared(tmp_path):
    assert "claims" not in said(tmp_path, main_metrics(labelled=100))


def test_without_labels_it_does_not_pretend(tmp_path):
    words = said(tmp_path, main_metrics(labelled=0))

    assert words == (
        "900 unlabelled examples of validation answered by the ensemble of 5 members; without labels nobody "
        "knows how well."
    )


def test_names_are_escaped(tmp_path):
    folder = write_run(tmp_path, main_metrics())
    source = read_source(folder)
    page = verdict(type(source)(folder=folder, sets={"<script>": source.main}, config=None, record={}))

    assert "<script>" not in page
    assert "&lt;script&gt;" in page
