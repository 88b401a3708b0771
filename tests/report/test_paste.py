import csv
import io
import re
from dataclasses import replace

import pytest

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import with_protocol
from ensemble_uq_llm.evaluation.quality.metrics import HEADLINE, METRICS
from ensemble_uq_llm.evaluation.records import Finding, Floor, Mean, MetricEstimate, Protocol
from ensemble_uq_llm.report.paste import FORMATS, PlainTable, as_csv, as_latex, as_markdown, headline_plain
from small_metrics import main_metrics

NASTY = r"50% & a_b #1 $x$ {y} ~z ^w \v | p–q — ↑↓ <t> [u]"  # noqa: RUF001 (an en dash is what a range has)


def numbers(value, ci95, mean, floor=None):
    """One metric, and the mean member's."""
    return MetricEstimate(value=value, ci95=ci95, noise_floor=floor), Mean(value=mean)


def measured(**by_metric):
    filled = {metric.name: numbers(0.5, (0.25, 0.75), 0.4) for metric in METRICS} | by_metric
    return replace(
        main_metrics(),
        ensemble={name: estimate for name, (estimate, _) in filled.items()},
        members_mean={metric.name: filled[metric.name][1] for metric in HEADLINE},
    )


MEASURED = measured(
    accuracy=numbers(0.8123456789012345, (0.7, 0.9), 0.1 + 0.2),
    auc=numbers(None, None, None),
    ece=numbers(0.0123456789, (0.01, 0.02), 0.03, Floor(mean=0.0094, p95=0.0151, p_value=0.2)),
)


def unescaped_latex(text):
    """What TeX would print, of the commands that we write."""
    commands = {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textbar{}": "|",
        r"\textless{}": "<", r"\textgreater{}": ">", "{[}": "[", r"$\uparrow$": "↑", r"$\downarrow$": "↓", "---": "—",
        "--": "–", "$-$": "−",  # noqa: RUF001 (what ranges have, and negative numbers)
    } | {f"\\{mark}": mark for mark in "%&_#${}"}  # fmt: skip
    pattern = "|".join(re.escape(each) for each in sorted(commands, key=len, reverse=True))
    assert not re.search(r"[%&_#$~^\\{}|<>]", re.sub(pattern, "", text)), text
    return re.sub(pattern, lambda match: commands[match[0]], text)


def latex_cells(text):
    rows = re.findall(r"^(.*) \\\\$", text, flags=re.MULTILINE)
    return [[unescaped_latex(cell) for cell in re.split(r"(?<!\\) & ", row)] for row in rows]


def test_csv_read_back_is_what_was_measured():
    header, *rows = csv.reader(io.StringIO(as_csv(headline_plain("validation", MEASURED, raw=True))))

    known = ["set", "metric", "ensemble", "ci95_low", "ci95_high", "members_mean", "noise_mean", "noise_p95"]
    assert header == [*known, "constant_answer", "protocol"]
    assert [row[:2] for row in rows] == [["validation", metric.name] for metric in METRICS]
    for _, name, *cells, protocol in rows:
        assert protocol == MEASURED.protocol_line
        estimate, mean = MEASURED.ensemble[name], MEASURED.members_mean.get(name, Mean(value=None))
        floor = (estimate.noise_floor.mean, estimate.noise_floor.p95) if estimate.noise_floor else (None, None)
        beside = MEASURED.constant_answers.metrics.get(name)
        constant = beside.value.value if beside else None
        expected = [estimate.value, *(estimate.ci95 or (None, None)), mean.value, *floor, constant]
        assert [float(cell) if cell else None for cell in cells] == expected


@pytest.mark.parametrize(("form", "end"), [("markdown", ""), ("latex", "\n\\end{table}")])
def test_the_protocol_stands_below_every_table(form, end):
    text = FORMATS[form](headline_plain("validation", with_protocol(MEASURED, Protocol(members=5)), raw=False))
    assert text.rstrip("\n").endswith(
        f"not known: base, prompt, answers, training, evaluated, calibration and ECE.{end}"
    )
    assert "Protocol: members 5, " in text


def test_people_see_formatted_numbers():
    table = headline_plain("validation", MEASURED, raw=False)
    rows = {row[0]: row[1:] for row in table.rows}

    always = MEASURED.constant_answers.metrics["accuracy"].value.value
    assert rows["Accuracy ↑"] == ("81.2%", "70.0% to 90.0%", "30.0%", f"{always:.1%}", "—", "—")
    assert rows["ROC AUC ↑"] == ("—",) * 6
    assert rows["ECE (15 bins) ↓"] == ("0.012", "0.010 to 0.020", "0.030", "—", "0.009", "0.015")
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert list(rows) == [f"{metric.title} {'↑' if metric.higher_is_better else '↓'}" for metric in HEADLINE]


def test_what_is_concluded_stands_with_the_table_but_not_among_programs_rows():
    finding = Finding(kind="constant_members", n=900, label=0, members=MEASURED.member_ids[:1])
    table = headline_plain("validation", replace(MEASURED, findings=(finding,)), raw=False)

    (said,) = table.notes
    assert said == "Seed 42 gives one answer, 'class 0', to all 900 examples, whatever is asked."
    title, note, *_ = as_markdown(table).split("\n\n")
    assert (title, note) == ("**validation**", said)
    assert said in as_latex(table)
    assert said not in as_csv(table)
    named = headline_plain("validation", replace(MEASURED, findings=(finding,)), raw=False, class_labels=("no", "yes"))
    assert named.notes == (said.replace("class 0", "no"),)


def test_the_forms_by_name():
    table = headline_plain("validation", MEASURED, raw=False)

    assert {name: write(table) for name, write in FORMATS.items()} == {
        "markdown": as_markdown(table), "latex": as_latex(table), "csv": as_csv(table),
    }  # fmt: skip


def test_without_labels_there_are_no_rows():
    metrics = main_metrics(labelled=0)

    assert headline_plain("stream", metrics, raw=True).rows == ()
    assert as_latex(headline_plain("stream", metrics, raw=False)).count(r"\\") == 1


def test_latex_shows_every_special_character_and_is_balanced():
    text = as_latex(PlainTable(title=NASTY, header=("a", NASTY), rows=((NASTY, "1"), ("2", "two\nlines"))))

    assert latex_cells(text) == [["a", NASTY], [NASTY, "1"], ["2", "two lines"]]
    assert "[" not in text.replace("{[}", "")  # after a row's end it would open an argument
    assert unescaped_latex(re.search(r"^\\caption\{(.*)\}$", text, flags=re.MULTILINE)[1]) == NASTY
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ]  # fmt: skip
    assert re.findall(r"\\(\w+)rule", text) == ["top", "mid", "bottom"]
    assert r"\begin{tabular}{lr}" in text


def test_markdown_keeps_its_columns():
    text = as_markdown(PlainTable(title="a|b", header=("x", "y|z"), rows=((r"p\|q", "1\n2"), ("_r_", "*s*"))))

    assert text == "**a\\|b**\n\n| x | y\\|z |\n| :-- | --: |\n| p\\\\\\|q | 1 2 |\n| \\_r\\_ | \\*s\\* |\n"
    for line in text.splitlines()[2:]:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3


@pytest.mark.parametrize("cell", [NASTY, 'a,"b"\n c', "", "1e-05"])
def test_any_cell_survives_csv(cell):
    table = PlainTable(title="t", header=("x", cell), rows=((cell, "1"),))

    assert list(csv.reader(io.StringIO(as_csv(table)))) == [["x", cell], [cell, "1"]]
