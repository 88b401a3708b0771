"""Texts that bite - formulas, escapes of terminals, overrides of direction, tags - through every output."""

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.evaluation.records import ExamplesToRead, Finding
from ensemble_uq_llm.member import MemberId, member_of_folder, trained
from ensemble_uq_llm.outgoing.visible import visible
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.printing import console_for, print_evaluations, print_json, print_plain, print_rows
from ensemble_uq_llm.report.figures.svg import figure, text
from ensemble_uq_llm.report.page import write_report
from ensemble_uq_llm.report.paste import FORMATS, PlainTable
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.verification.acceptance import accept
from report_page import Page
from small_metrics import main_metrics, shifted_metrics, write_run

HOSTILE = [
    "=HYPERLINK(http://evil)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1:A9)", "\t=1", "\r=1", " =1", "\n=1",
    "\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "back\x08\x08space", "nul\x00", "\x7f",
    "user\u202egpj.exe", "\u2066isolate\u2069", "zero\u200bwidth", "\ufeffbom", "\u2028line", "\U000e0041tag",
    "</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)", "{{7*7}}{% x %}",
    "| a | b |", "`code` **bold** [link](http://evil)", "$x$ \\input{x} %", "&lt;b&gt;",
]  # fmt: skip
WIDTHS = (60, 120)


def unseen(text):
    """Return the characters of a text that change what is seen; line breaks are none."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") and each != "\n"}


def formulas(text):
    """Return the cells of a CSV that a spreadsheet computes."""
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    return [
        each for each in cells if each.lstrip()[:1] in ("=", "+", "-", "@") and not re.fullmatch(r"-[\d.e-]+", each)
    ]


def hostile_sets(name, *, file_name=None):
    """Return two evaluated sets of that name (or one that a file may bear), its classes and examples named alike."""
    metrics = main_metrics(n=30)
    examples = ExamplesToRead(
        most_uncertain=tuple(replace(each, id=name) for each in metrics.examples.most_uncertain[:2]),
        most_confidently_wrong=tuple(replace(each, id=name) for each in metrics.examples.most_confidently_wrong[:2]),
    )
    findings = (Finding(kind="constant_members", n=30, label=0, members=metrics.member_ids[:1]),)
    metrics = replace(metrics, examples=examples, findings=findings, class_names=(name, "other"))
    other = shifted_metrics(file_name or f"{name} too", reference="validation")
    return {"validation" if file_name else name: metrics, other.name: other}


@pytest.fixture
def predictions(tmp_path):
    """Predictions whose ids are hostile, and which answer one class always, so that its name is said."""
    ids = [*HOSTILE, *(f"-{n}" for n in range(9))]
    rng = np.random.default_rng(0)
    logits_MNC = rng.normal(size=(2, len(ids), 2)).astype(np.float32) + np.array([9, 0], np.float32)
    labels = tuple(int(label) for label in rng.integers(0, 2, len(ids)))
    path = tmp_path / "hostile.parquet"
    write_predictions(path, Predictions(ids=tuple(ids), labels=labels, members=trained((1, 2)), logits_MNC=logits_MNC))
    return path


@pytest.fixture
def command(capsys, monkeypatch):
    def call(*words, width=120):
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit, match=r"^(\d|None)$") as stop:
            main([*map(str, words), "--draws", "100"] if words[0] == "evaluate" else [*map(str, words)])
        return stop.value.code or 0, *capsys.readouterr()

    return call


def test_ids_in_every_file(predictions, command, tmp_path):
    code, _, err = command("evaluate", predictions, "--output", tmp_path / "out")
    assert (code, err) == (0, "")
    folder = RunFolder(tmp_path / "out")
    for path in (folder.uncertainty("hostile"), folder.scores("hostile")):
        content = path.read_text(encoding="utf-8")
        assert unseen(content) == set()
        assert formulas(content) == []
        ids = [row["id"] for row in csv.DictReader(io.StringIO(content))]
        assert ids[-9:] == [f"-{n}" for n in range(9)], "a negative number is no formula"
        assert len(ids) == len(set(ids)) == len(HOSTILE) + 9
    shown = json.loads(folder.metrics("hostile").read_text(encoding="utf-8"))["examples"]
    known = {*HOSTILE, *(f"-{n}" for n in range(9))}
    assert {each["id"] for those in shown.values() for each in those} <= known, "a JSON is exact"
    assert unseen(folder.report.read_text(encoding="utf-8")) <= {"\t"}


@pytest.mark.parametrize(("width", "name"), [*product(WIDTHS, HOSTILE)])
def test_names_of_sets_and_classes_in_the_terminal(name, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    print_evaluations(hostile_sets(name), as_json=False, class_labels=(name, "other"))
    print_rows([("key", name), (name, "value")])
    console_for(as_json=False).print(name, soft_wrap=True)
    assert unseen(capsys.readouterr().out) == set()


@pytest.mark.parametrize(("form", "name"), [*product(FORMATS, HOSTILE)])
def test_names_of_sets_and_classes_in_what_is_pasted(name, form, capsys):
    print_plain(hostile_sets(name), form, class_labels=(name, "other"))
    out = capsys.readouterr().out
    assert unseen(out) == set()
    if form == "csv":
        assert formulas(out) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_json_is_exact_and_shows_everything(name, capsys):
    print_json({name: [name]})
    out = capsys.readouterr().out
    assert json.loads(out) == {name: [name]}
    assert unseen(out) == set()


def test_names_of_files_in_what_a_command_prints(predictions, command, monkeypatch):
    name = "=1\x1b[2J\u202e\u200b'><b>|`$x"
    own = predictions.with_name(f"{name}.parquet")
    own.write_bytes(predictions.read_bytes())
    monkeypatch.chdir(own.parent)
    for words in (["evaluate", own.name], ["compare", own.name, predictions.name, "--format", "csv"]):
        code, out, err = command(*words)
        assert (code, err) == (0, "")
        assert unseen(out) == set()
    assert formulas(out) == []
    assert next(row["a"] for row in csv.DictReader(io.StringIO(out))) == f"'{visible(own.name)}"


@pytest.mark.parametrize("width", WIDTHS)
def test_whatever_is_wrong_in_an_error(predictions, command, width, rounds):
    for name in HOSTILE[:: rounds(7, 1)]:
        for words in (
            ["evaluate", f"{name}.parquet"],
            ["evaluate", predictions, "--output", "out", "--shift", f"{name}={name}.csv"],
            ["evaluate", predictions, "--columns", f"id={name}"],
            ["compare", predictions, f"{name}.csv"],
            ["config", "--set", f"{name}=1"],
            ["config", "--set", f"output_dir={name}"],
            ["config", "--set", f"label_column={name}", "--json"],
            ["report", name],
        ):
            code, out, err = command(*words, width=width)
            assert unseen(out + err) == set(), words
            assert code in (0, 2, 3), words


@pytest.mark.parametrize("name", [" ".join(HOSTILE[::2]), " ".join(HOSTILE[1::2])], ids=["one half", "other half"])
def test_every_place_of_the_page(name, tmp_path):
    folder = write_run(tmp_path, *hostile_sets(name, file_name="other").values())
    folder.run_record.write_text(json.dumps({name: name, "stages": [{"stage": name, "command": name}]}))
    folder.examples("validation").parent.mkdir()
    folder.examples("validation").write_text(json.dumps({"id": name, "text": name}))
    accept(folder)
    html = write_report(folder).read_text(encoding="utf-8")
    page = Page(html)
    assert unseen(html) <= {"\t"}
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img", "iframe", "link"})
    assert [each for _, attributes in page.tags for each in attributes if each.startswith("on")] == []
    assert visible(name, keep="\n\t") in page.text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_drawing_escapes_what_it_names(name):
    drawn = figure([text(0, 0, name, "small")], title=name, height=9, alternative=name).svg
    page = Page(drawn)
    assert [tag for tag, _ in page.tags] == ["svg", "title", "text"]
    assert page.tags[0][1]["aria-label"] == name
    assert page.text == name * 2


@pytest.mark.parametrize(("name", "form"), [*product(HOSTILE, FORMATS)])
def test_every_place_of_a_pasted_table(name, form):
    written = FORMATS[form](PlainTable(title=name, header=("x", name), rows=((name, "-1.5"),), notes=(name,)))
    assert unseen(written) == set()
    if form == "csv":
        assert formulas(written) == []
        assert len(list(csv.reader(io.StringIO(written)))) == 2
    if form == "markdown":
        lines = [line for line in written.splitlines() if line.startswith("|")]
        assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines] == [3, 3, 3]


NO_FILES = [
    *HOSTILE,
    ".",
    "..",
    "...",
    "../x",
    "a/b",
    "/x",
    "a\n",
    "é",
    "\N{FULLWIDTH DIGIT ONE}",
    "",
    " ",
    ".hidden",
    "-x",
    "x" * 65,
    "a\\b",
]


@pytest.mark.parametrize("name", NO_FILES)
def test_no_name_of_a_set_leaves_its_folder(name, tmp_path):
    folder = RunFolder(tmp_path)
    for path in (folder.predictions, folder.examples, folder.uncertainty, folder.scores, folder.metrics):
        with pytest.raises(ConfigError, match="cannot name a set") as refused:
            path(name)
        assert unseen(str(refused.value)) == set()


@pytest.mark.parametrize("name", ["a", "a.b", "a..", "CON", "1", "a-b_c.d", "x" * 64])
def test_a_name_of_a_set_is_a_file_in_its_folder(name, tmp_path):
    assert RunFolder(tmp_path).metrics(name).resolve() == tmp_path.resolve() / "metrics" / f"{name}.json"


@pytest.mark.parametrize(
    "name",
    ["seed_1\N{ARABIC-INDIC DIGIT TWO}", "seed_\N{FULLWIDTH DIGIT ONE}", "seed_01", "seed_1\n", "seed_1/..", "seed_-1"],
)
def test_a_folder_of_a_like_name_is_no_members(name):
    assert member_of_folder(name) is None
    assert member_of_folder("seed_12") == MemberId(12)


@pytest.mark.parametrize("text", ["a\u202eb", "\x1b[2J", "a\u200bb", "half \udcff"])
def test_the_search_sees_what_cannot_be_seen(text):
    assert unseen(text) != set()


@pytest.mark.parametrize("cell", ["=1", "-1+1", " =1", "@x"])
def test_the_search_sees_a_formula(cell):
    assert formulas(f"1,{cell}\n") == [cell]
    assert formulas("-1.5,1,a=b,'=1\n") == []


def test_without_the_guards_all_of_it_is_seen(predictions, command, monkeypatch, tmp_path):
    for module in ("errors", "outgoing.safe_console", "report.page"):
        monkeypatch.setattr(f"ensemble_uq_llm.{module}.safe_text", lambda text, **_: text)
    monkeypatch.setattr("ensemble_uq_llm.utils.files.csv_cell", lambda value: value)
    _, out, _ = command("evaluate", predictions, "--output", tmp_path / "out", "--classes", "a\u202e,b")
    content = RunFolder(tmp_path / "out").uncertainty("hostile").read_text(encoding="utf-8")
    assert unseen(out)
    assert unseen(content)
    assert formulas(content)
    assert unseen(RunFolder(tmp_path / "out").report.read_text(encoding="utf-8"))
