from dataclasses import replace

from ensemble_uq_llm.evaluation.records import Detection, Floor, Mean, MetricEstimate
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.report.verdict import verdict
from ensemble_uq_llm.statistics.intervals import Estimate
from small_metrics import main_metrics, shifted_metrics, write_run


def said(tmp_path, *sets):
    return verdict(read_source(write_run(tmp_path, *sets))).striptags()


def test_it_says_how_good_it_is_and_what_it_claims(tmp_path):
    metrics = main_metrics()
    floor = Floor(mean=0.02, p95=0.04, p_value=0.3)
    metrics.ensemble["accuracy"] = MetricEstimate(value=0.812, ci95=(0.79, 0.83))
    metrics.members_mean["accuracy"] = Mean(value=0.801)
    metrics.ensemble["ece"] = MetricEstimate(value=0.0312, ci95=(0.02, 0.04), noise_floor=floor)

    assert said(tmp_path, metrics).startswith(
        "On 900 labelled examples of validation, the ensemble of 5 members answers 81.2% correctly "
        "(95% interval 79.0% to 83.0%; its mean member 80.1%) and claims 87.3%; "
        "its calibration error is 0.031, which chance alone would explain."
    )


def test_a_calibration_error_beyond_chance_is_called_that(tmp_path):
    metrics = main_metrics()
    floor = Floor(mean=0.02, p95=0.04, p_value=0.001)
    metrics.ensemble["ece"] = replace(metrics.ensemble["ece"], noise_floor=floor)

    assert "more than chance would explain" in said(tmp_path, metrics)


def test_abstention_counts_the_mistakes_of_the_score_to_use(tmp_path):
    metrics = main_metrics()
    for name, risk in (("mutual_information", 0.111), ("one_minus_confidence", 0.222)):
        metrics.selective[name].numbers["risk_at_coverage_80"] = Estimate(value=risk, ci95=None)

    assert "Of the 80% of questions that it is surest of, it gets 11.1% wrong." in said(tmp_path, metrics)
    unsure = replace(metrics, best_score=replace(metrics.best_score, really_better=False))
    assert "it gets 22.2% wrong." in said(tmp_path, unsure)


def noticed(metrics, area):
    best = Detection(score="mutual_information", auroc=area) if area else None
    return replace(metrics, shift=replace(metrics.shift, best=best))


def test_other_sets_are_named_with_the_best_first_and_three_at_most(tmp_path):
    found = {"a": 0.6, "b": 0.9, "c": None, "d": 0.8, "e": 0.5}
    sets = [noticed(shifted_metrics(name), area) for name, area in found.items()]

    assert said(tmp_path, main_metrics(), *sets).endswith(
        "Its uncertainty tells other data from it with an AUROC of 0.90 (b, by mutual information), "
        "0.80 (d, by mutual information), 0.60 (a, by mutual information)."
    )


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
