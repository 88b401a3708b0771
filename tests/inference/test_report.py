import json
from html.parser import HTMLParser

import pytest
from small_predictions import predicted, unlabelled

from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.inference.evaluate import evaluate_run
from ensemble_uq_llm.inference.predictions import Predictions, write_predictions
from ensemble_uq_llm.inference.report import SECTIONS, write_report
from ensemble_uq_llm.run_folder import RunFolder

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """The page's text, tags, ids and links; checks that every element is closed in its turn."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    write_predictions(folder.predictions("validation"), predicted(n=90, truth=True))
    write_predictions(folder.predictions("strange"), predicted(n=50, seed=1, noise=4.0))
    return folder


def report(folder):
    return Page(write_report(folder, evaluations=evaluate_run(folder, draws=20)).read_text(encoding="utf-8"))


def test_the_report_is_one_file_that_needs_nothing_else(folder):
    path = write_report(folder)
    page = Page(path.read_text(encoding="utf-8"))

    assert path == folder.report
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert all(link.startswith("#") for link in page.links)
    assert "url(" not in path.read_text(encoding="utf-8")
    assert "@import" not in path.read_text(encoding="utf-8")


def test_every_section_is_there_in_order_and_linked(folder):
    folder.run_record.write_text('{"command": "ensemble-uq train"}')
    page = report(folder)

    names = [section.name for section in SECTIONS]
    assert page.ids == names
    assert page.links == [f"#{name}" for name in names]
    assert all(section.title in page.text for section in SECTIONS)


def test_the_verdict_has_the_numbers(folder):
    page = report(folder)
    metrics = json.loads(folder.metrics("validation").read_text())
    shift = json.loads(folder.metrics("strange").read_text())["shift"]["auroc"]["mutual_information"]["value"]

    accuracy = metrics["ensemble"]["accuracy"]["value"]
    assert f"On 90 labelled examples of validation, the ensemble of 3 members answers {accuracy:.1%}" in page.text
    assert f"with an AUROC of {shift:.2f} (strange)." in page.text


def test_every_figure_has_a_text_alternative(folder):
    drawings = [attributes for tag, attributes in report(folder).tags if tag == "svg"]

    assert len(drawings) == 3
    assert all(drawing["role"] == "img" and len(drawing["aria-label"]) > 60 for drawing in drawings)


def test_texts_votes_and_class_names_of_the_examples(folder):
    ids = [f"q{i}" for i in range(90)]
    lines = [json.dumps({"id": name, "text": f"Question: is {name} so?"}) for name in ids]
    folder.examples("validation").write_text("\n".join(lines))
    folder.config.write_text("class_names: [never, always]\n")
    page = report(folder)

    shown = [name for name in ids if f"Question: is {name} so?" in page.text]
    assert 20 <= len(shown) <= 40
    assert page.text.count("42: never") + page.text.count("42: always") >= 20
    assert "class 1" not in page.text


def test_without_a_configuration_classes_are_called_by_their_index(folder):
    text = report(folder).text

    assert "42: class 1" in text or "42: class 0" in text


def test_record_and_configuration_are_shown(folder):
    folder.run_record.write_text(json.dumps({"versions": {"torch": "9.9.9"}, "seeds": [42, 43], "commit": None}))
    folder.config.write_text("lora_r: 4\n")
    text = report(folder).text

    for part in ("versions.torch", "9.9.9", "42, 43", "lora_r"):
        assert part in text


def test_what_strangers_wrote_is_escaped(tmp_path):
    attack = "<script>alert(1)</script>"
    folder = RunFolder(tmp_path / "run<b>")
    plain = predicted(n=30)
    ids = tuple(f"{attack}{i}" for i in range(30))
    write_predictions(
        folder.predictions("validation"),
        Predictions(ids=ids, labels=plain.labels, seeds=plain.seeds, logits_MNC=plain.logits_MNC),
    )
    lines = [json.dumps({"id": name, "text": f"{attack} {'long ' * 100}"}) for name in ids]
    folder.examples("validation").write_text("\n".join(lines))
    folder.run_record.write_text(json.dumps({attack: attack}))
    page = report(folder)

    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(attack) > 40
    assert "run<b>" in page.text


@pytest.mark.parametrize(
    "predictions",
    [
        predicted(n=1, members=1),
        unlabelled(predicted(n=30)),
        unlabelled(predicted(n=30), first=10),
        predicted(n=60, classes=5, truth=True),
        predicted(n=40, members=1),
    ],
    ids=["one example", "unlabelled", "partly labelled", "five classes", "one member"],
)
def test_every_kind_of_set_has_a_report(tmp_path, predictions):
    folder = RunFolder(tmp_path)
    write_predictions(folder.predictions("lone"), predictions)
    page = report(folder)

    assert "nan" not in page.text
    assert ("Can its confidence be believed?" in page.text) == bool(predictions.labelled_N.any())
    assert "On other data" not in page.text


def test_reports_of_the_same_run_are_the_same(folder):
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_files_that_cannot_be_used_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="there are no predictions"):
        write_report(RunFolder(tmp_path / "empty"))
    folder.config.write_text("lora_rr: 4\n")
    with pytest.raises(ConfigError, match="lora_rr"):
        report(folder)
    folder.config.unlink()
    folder.run_record.write_text('{"torn": ')
    with pytest.raises(IntegrityError, match=r"run\.json: this is no JSON"):
        report(folder)
    folder.run_record.write_text("[]")
    with pytest.raises(IntegrityError, match=r"run\.json: this is no JSON object"):
        report(folder)


def test_the_configuration_decides_the_bootstrap(folder):
    folder.config.write_text("bootstrap_draws: 120\nbootstrap_seed: 5\n")
    write_report(folder)
    written = json.loads(folder.metrics("validation").read_text())

    assert written == evaluate_run(folder, draws=120, seed=5)["validation"].metrics
    assert written != evaluate_run(folder, draws=120, seed=6)["validation"].metrics
