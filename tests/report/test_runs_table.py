from dataclasses import replace

import pytest
from test_terminal import rendered

from ensemble_uq_llm.evaluation.beside.many_runs import compare_many
from ensemble_uq_llm.report.paste import as_latex, as_markdown
from ensemble_uq_llm.report.runs_table import runs_plain, runs_tables
from small_compared import runs


@pytest.fixture(scope="module")
def table():
    first, *others = runs(0.5, 0.6, 6.0, shifted=60, split=80)
    facts = replace(
        first.facts,
        maker="tfb",
        trained_members=1,
        samples=3,
        training_seconds=1234.5,
        making_seconds=7.25,
        path="/a/b",
    )
    return compare_many([replace(first, facts=facts, cautions=("it is small",)), *others], draws=200)


@pytest.mark.parametrize("width", [60, 120])
def test_every_number_stands_whole_at_any_width(table, width):
    text = rendered(runs_tables(table), width=width)
    words = " ".join(text.split())

    for title in ("What they are", "On 120 examples, with 95% intervals", "AUROC: how well shifted sets are told"):
        assert title in words
    assert "One member or sample alone, one pass: the mean over all of a run's" in words
    assert "Difference from run 0, 95% interval, p (Holm)" in words
    assert "1,234.5" in text
    assert "run 0: /a/b" in text
    for run in table.runs:
        for name in ("nll", "nll_after_temperature", "brier"):
            assert f"{run.metrics[name].value:.3f}" in text
            assert f"{run.one_member[name]:.3f}" in text
        low, high = run.metrics["nll"].ci95
        assert f"{low:.3f}–{high:.3f}" in text  # noqa: RUF001 (an en dash is what a range has)
        assert f"up to {run.metrics['ece'].noise_floor.p95:.3f}" in text
    assert f"{table.runs[2].differences['nll'].value:+.3f}" in text
    assert "p < 0.02 worse" in words


def test_what_is_claimed_is_said_in_words(table):
    words = " ".join(rendered(runs_tables(table)).split())
    assert "run 1 is not told apart from run 0." in words
    assert "run 2 is worse in Accuracy, NLL" in words
    assert "adjusted for 2 runs (Holm), each metric by itself" in words
    assert "fitted on each calibration split (80 rows)." in words
    assert "Beware of run 0: it is small." in words


def test_cross_fitting_and_unknown_making_are_said():
    words = " ".join(rendered(runs_tables(compare_many(runs(1.0, 1.0, members=1), draws=0))).split())
    assert "each of 5 folds of the examples is judged by the temperature of the others." in words
    assert "run 0 ? ? — 1 — —" in words
    assert "alone, one pass" not in words


def test_the_same_tables_are_to_paste(table):
    plain = runs_plain(table)
    assert [each.title[:12] for each in plain] == [
        "What they ar", "On 120 examp", "AUROC: how w", "One member o", "Difference f",
    ]  # fmt: skip
    assert all(len(row) == len(each.header) for each in plain for row in each.rows)
    [run, *_] = table.runs
    low, high = run.metrics["nll"].ci95
    assert f"{run.metrics['nll'].value:.3f} ({low:.3f}–{high:.3f})" in plain[1].rows[0]  # noqa: RUF001
    assert "Beware of run 0: it is small." in plain[0].notes
    assert "not told apart" in as_markdown(plain[-1])
    assert all(r"\begin{tabular}" in as_latex(each) for each in plain)
