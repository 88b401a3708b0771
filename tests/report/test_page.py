import json
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files, evaluate_run
from ensemble_uq_llm.evaluation.records import ExamplesToRead
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.report.page import SECTIONS, write_report
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate
from recording import recorded
from report_page import Page
from small_metrics import main_metrics, shifted_metrics, write_run
from small_predictions import predicted as drawn

NAMES = [section.name for section in SECTIONS]
THREE = trained(range(3))
LONG_NAME = "a_set_whose_name_is_as_long_as_a_name_may_be_64_characters_long_"


@pytest.fixture
def folder(tmp_path):
    folder = write_run(tmp_path / "run", main_metrics(truth=True), shifted_metrics("strange"))
    folder.run_record.write_text('{"stages": [], "versions": {"python": "3.99"}}')
    recorded(folder)
    return folder


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


def sections_of(page):
    return [name for name in page.ids if not name.endswith("-title")]


def test_the_report_is_one_file_that_needs_nothing_else(folder):
    path = write_report(folder)
    html = path.read_text(encoding="utf-8")
    page = Page(html)

    assert path == folder.report
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe", "form"})
    assert all(link.startswith("#") for link in page.links)
    assert "url(" not in html
    assert "@import" not in html
    [policy] = [each["content"] for tag, each in page.tags if tag == "meta" and "http-equiv" in each]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_every_section_is_there_in_order_and_linked(folder):
    page = page_of(folder)

    assert sections_of(page) == NAMES
    assert page.links == [f"#{name}" for name in ["in_numbers", *NAMES]]
    assert all(section.title in page.text for section in SECTIONS)
    assert len(page.ids) == len(set(page.ids))


def test_an_interval_is_called_what_it_is(folder):
    """A confidence interval, of this ensemble; a prediction interval would be wider."""
    text = " ".join(page_of(folder).text.split())

    assert (
        "A 95% confidence interval says how far the number on these examples may be from that on all examples" in text
    )
    assert "the members are held fixed" in text
    assert "would lie on other examples" not in text
    assert text.count("two-sided") >= 4
    assert "one-sided" in text


@pytest.mark.parametrize(("members", "noted"), [(1, False), (2, True), (3, True), (4, False), (10, False)])
def test_of_few_members_it_is_said_what_their_disagreement_is_worth(tmp_path, members, noted):
    folder = write_run(tmp_path / "run", main_metrics(members=members), shifted_metrics("strange", members=members))
    page = page_of(folder)

    words = f"With {members} members the mutual information is a rough estimate"
    assert page.text.count(words) == (3 if noted else 0)  # where scores are chosen, shown, and tell other data


def test_every_figure_has_a_text_alternative_and_every_table_a_name(folder):
    tags = page_of(folder).tags
    drawings = [each for tag, each in tags if tag == "svg" and "aria-hidden" not in each]
    boxes = [each for _, each in tags if each.get("class") == "scroll"]

    # reliability four times, risk-coverage, ROC twice, three histograms, scatter, six size curves
    assert len(drawings) == 17
    assert all(each["role"] == "img" and len(each["aria-label"]) > 60 for each in drawings)
    assert len(boxes) == len([tag for tag, _ in tags if tag == "table"]) > 10
    assert all(each["role"] == "region" and each["tabindex"] == "0" and each["aria-label"] for each in boxes)


def test_every_number_stands_in_the_metrics(folder):
    leaves = []
    for name in ("validation", "strange"):
        leaves += list(numbers_of(json.loads(folder.metrics(name).read_text())))
    known = {form.format(abs(value)) for value in leaves for form in FORMS}
    known |= {f"{100 * abs(value):.2f}" for value in leaves} | {"0.001"}  # points of a percent; p < 0.001
    folder.run_record.unlink()
    recorded(folder)
    page = page_of(folder)

    shown = [number for cell in [*page.cells, page.verdict] for number in NUMBER.findall(cell)]
    assert len(shown) > 400
    assert set(shown) - known - {"95%", "80%"} == set()


@pytest.mark.parametrize(
    "metrics",
    [
        main_metrics("lone", n=1, members=1, calibrated=False),
        main_metrics("lone", n=1),
        main_metrics("lone", labelled=0),
        main_metrics("lone", labelled=10),
        main_metrics("lone", classes=5, truth=True),
        main_metrics("lone", members=1),
        main_metrics("lone", members=10, classes=5, calibrated=False),
        main_metrics("lone", members=50),
    ],
    ids=["bare", "one example", "unlabelled", "partly labelled", "classes", "one member", "ten members", "fifty"],
)
def test_every_kind_of_set_has_a_report(tmp_path, metrics):
    page = page_of(write_run(tmp_path, metrics))
    labelled = metrics.labelled > 0

    assert not re.search(r"\b(nan|inf|None|NaN)\b", page.text)
    assert ("confidence" in sections_of(page)) == labelled
    assert ("when_to_abstain" in sections_of(page)) == labelled
    assert ("how_many" in sections_of(page)) == (labelled and metrics.several)
    assert ("--calibration FILE" in page.text) == (labelled and metrics.conformal is None)
    assert "other_data" not in sections_of(page)


def test_undefined_values_are_dashes(tmp_path):
    page = page_of(write_run(tmp_path, undefined(main_metrics(truth=True)), undefined(shifted_metrics("strange"))))

    assert sections_of(page) == NAMES[:-1]
    assert page.cells.count("— ") > 200


def test_members_that_are_left_out_are_told_at_the_top(tmp_path):
    run = write_run(tmp_path, main_metrics(members=3))
    failed = {"seed_43": "trained since", "seed_99": "diverged <at> step 12: its loss is not finite"}
    run.run_record.write_text(json.dumps({"stages": [], "failed": failed}), encoding="utf-8")
    recorded(run)
    page = write_report(run).read_text(encoding="utf-8")
    header = page[: page.index("<main>")]
    assert "Without seed 99: diverged &lt;at&gt; step 12: its loss is not finite." in header
    assert "trained since" not in header


def test_sets_of_long_names_and_other_roles_are_shown(tmp_path):
    other = replace(main_metrics("other", truth=True), role="other")
    page = page_of(write_run(tmp_path, main_metrics("mine"), other))
    assert "other_data" in sections_of(page)
    assert "Reading" not in page.text.partition("On other data")[2].partition("Do I need")[0]
    long = shifted_metrics(LONG_NAME, reference="mine")
    assert LONG_NAME in page_of(write_run(tmp_path, main_metrics("mine"), long)).text


def test_a_hundred_thousand_examples_and_endless_texts_stay_below_five_megabytes(tmp_path):
    sets = [shifted_metrics(f"set_{i}", n=100_000, labelled=100_000, members=20) for i in range(10)]
    folder = write_run(tmp_path, main_metrics(n=100_000, members=20, classes=10), *sets)
    lines = [json.dumps({"id": f"q{i}", "text": "word " * 100_000}) for i in range(20)]
    folder.examples("validation").parent.mkdir()
    folder.examples("validation").write_text("\n".join(lines))

    size = write_report(folder).stat().st_size
    assert 500_000 < size < 5_000_000


def test_what_strangers_wrote_is_escaped(tmp_path):
    attack = "<script>alert(1)</script>"
    metrics = main_metrics(n=30)
    metrics = replace(
        metrics,
        examples=ExamplesToRead(
            most_uncertain=tuple(replace(each, id=attack) for each in metrics.examples.most_uncertain),
            most_confidently_wrong=tuple(replace(each, id=attack) for each in metrics.examples.most_confidently_wrong),
        ),
        best_score=replace(metrics.best_score, answer=attack),
        size_curve=replace(metrics.size_curve, answer=attack),
    )
    folder = write_run(tmp_path / "run<b>", metrics)
    folder.run_record.write_text(json.dumps({attack: attack, "stages": [{"stage": attack, "command": attack}]}))
    recorded(folder)
    page = page_of(folder)

    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(attack) > 40
    assert "run<b>" in page.text


def test_reports_of_the_same_run_are_the_same(folder):
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_without_metrics_there_is_no_report(tmp_path):
    with pytest.raises(DataError, match="no set has been evaluated"):
        write_report(RunFolder(tmp_path))


def test_the_report_shows_what_an_evaluation_writes(tmp_path):
    folder = RunFolder(tmp_path)
    for seed, name in enumerate(("validation", "strange", "calibration")):
        write_predictions(folder.predictions(name), predicted(seed))
    evaluate_run(folder, draws=100)

    assert sections_of(page_of(folder)) == NAMES[:-1]


def test_of_a_single_member_nothing_speaks_of_an_ensemble(tmp_path):
    folder = RunFolder(tmp_path)
    for seed, name in enumerate(("validation", "strange")):
        mass_MN = np.random.default_rng(seed).random((1, 60))
        write_predictions(folder.predictions(name), replace(drawn(60, members=1, seed=seed), answer_mass_MN=mass_MN))
    evaluate_run(folder, draws=100)
    page = page_of(folder)
    text = page.text.replace("EnsembleUQLLM", "").replace(
        "A single member disagrees with nobody: mutual information, variance, expected pairwise KL, disagreement and "
        "spread are 0 for every example, and left out here.",
        "",
    )

    assert "One minus answer mass" in text
    for word in ("nsemble", "utual information", "ean member", "the members", "isagree"):
        assert word not in text, word
    assert "votes" not in {tag.get("class") for _, tag in page.tags}


def test_two_samples_of_one_seed_are_told_apart_from_predictions_to_page(tmp_path):
    folder = RunFolder(tmp_path)
    members = (MemberId(7), MemberId(7, 2))
    write_predictions(folder.predictions("validation"), predicted(0, members=members))
    evaluate_run(folder, draws=0)
    page = page_of(folder)

    assert page.text.count("Seed 7, sample 2") == 1  # its row
    assert sum("seed 7 and seed 7, sample 2" in cell for cell in page.cells) == 4  # least and most, twice
    assert page.text.count("seed 7, sample 2: class ") == page.text.count("7: class ")  # its votes


def undefined(value):
    """The same record with every estimate and comparison undefined, but for the accuracies."""
    if isinstance(value, Comparison):
        return replace(value, value=None, ci95=None, p_value=None)
    if isinstance(value, Estimate):
        return replace(value, value=None, ci95=None)
    if is_dataclass(value):
        return replace(value, **{each.name: undefined(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, dict):
        return {key: each if key == "accuracy" else undefined(each) for key, each in value.items()}
    return tuple(undefined(each) for each in value) if isinstance(value, tuple) else value


NUMBER = re.compile(r"\d[\d,]*\.?\d*%?")
FORMS = ("{:.1%}", "{:.0%}", "{:.2f}", "{:.3f}", "{:.4f}", "{:,}")


def numbers_of(value):
    """Yield the numbers of a JSON, its keys that are numbers too."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("curve", "shares", "roc", "scatter", "reliability"):  # what is only drawn
                continue
            yield from [float(key)] if re.fullmatch(r"0\.\d+", key) else []
            yield from numbers_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers_of(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def predicted(seed, n=80, members=THREE):
    rng = np.random.default_rng(seed)
    logits_NC = rng.normal(size=(n, 2))
    labels = [int(label) for label in logits_NC.argmax(axis=1) ^ (rng.random(n) < 0.2)]
    return Predictions(
        ids=tuple(f"s{seed}-{i}" for i in range(n)),
        labels=tuple(labels),
        members=members,
        logits_MNC=(logits_NC + rng.normal(size=(len(members), n, 2))).astype(np.float32),
    )


def test_classes_that_are_named_with_the_predictions_bear_their_names(tmp_path):
    answers, names = drawn(60, classes=3), ("red", "green", "blue")
    np.savez(tmp_path / "colours.npz", logits=answers.logits_MNC, labels=answers.labels_N)
    evaluate_files(tmp_path / "colours.npz", classes=names, output=tmp_path / "out", draws=20)
    page = page_of(RunFolder(tmp_path / "out"))

    assert "always answering 'class" not in page.text
    assert all(f"answered {name}" in page.text for name in names)
