from dataclasses import replace

from ensemble_uq_llm.report.sections.unsure_of import unsure_of
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, shifted_metrics, write_run


def figures_of(tmp_path, *sets):
    return unsure_of(read_source(write_run(tmp_path, *sets)))


def test_the_main_set_is_shown_in_parts_and_the_others_as_a_whole(tmp_path):
    content = figures_of(tmp_path, main_metrics(labelled=600), shifted_metrics("strange"))

    assert [figure.title for figure in content.histograms] == ["Entropy", "Mutual information", "Variance"]
    for figure in content.histograms:
        rows = [part.split(":")[0] for part in figure.alternative.partition(". ")[2].split("; ")]
        assert rows == ["right answers, validation", "wrong answers, validation", "unlabelled, validation", "strange"]


def test_numbers_are_those_of_the_metrics(tmp_path):
    metrics = main_metrics()
    entropy = metrics.histograms["entropy"]
    right = replace(entropy.groups[0], n=720, mean=0.1234, shares=(0.5, 0.5))
    metrics.histograms["entropy"] = replace(entropy, groups=(right, *entropy.groups[1:]))

    assert (
        "right answers, validation: 720 examples, mean 0.123, peak 50%"
        in figures_of(tmp_path, metrics).histograms[0].alternative
    )


def test_a_single_member_disagrees_with_nobody(tmp_path):
    content = figures_of(tmp_path, main_metrics(members=1))

    assert [figure.title for figure in content.histograms] == ["Entropy"]
    assert content.scatter is None
    assert not content.logarithmic


def test_the_scatter_tells_the_kinds_apart_and_how_many_are_shown(tmp_path):
    content = figures_of(tmp_path, main_metrics(n=900, labelled=600), shifted_metrics("strange"))

    assert [key.name for key in content.scatter.legend] == [
        "right answers (100 of 480)",
        "wrong answers (100 of 120)",
        "unlabelled (100 of 300)",
    ]
    assert content.logarithmic


def test_without_histograms_the_section_is_left_out(tmp_path):
    metrics = replace(main_metrics(), histograms={})

    assert unsure_of(read_source(write_run(tmp_path, metrics))) is None
