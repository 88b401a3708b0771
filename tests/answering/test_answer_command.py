import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.reading import row_stream
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted, fit_decisions
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.inference import answer_stream
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import origin_of, predict_examples
from ensemble_uq_llm.run_folder import RunFolder

FORMULA = "=1+1 is the number, is it"


@pytest.fixture
def questions(tmp_path):
    rows = [
        {"id": f"new {n}", "question": f"is {n} odd" if n else FORMULA, "passage": f"The number {n} is {'so' * n}."}
        for n in range(11)
    ]
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def predicted(run, path):
    config = load_config(run)
    loaded, prepared = load_members(config), Job(config).file(path)
    return replace(predict_examples(loaded, prepared), origin=origin_of(loaded, config))


@pytest.fixture
def deciding_run(own_run, tiny_data, questions):
    """A run with a decision.json whose certificate answers about half of the questions."""
    folder = RunFolder(own_run)
    confidence_N = measure_uncertainty(predicted(own_run, questions).logits_MNC).confidence_N
    group = CertifiedGroup(group=None, threshold=float(1 - np.median(confidence_N)), rows=24, wrong=3, answered=12)
    certificate = Certificate(target_risk=0.3, confidence=0.9, score="one_minus_confidence", groups=(group,))
    calibration = predicted(own_run, tiny_data)
    fitted = fit_decisions(calibration, name="calibration", rng=np.random.default_rng(0), draws=0)
    with folder.change() as change:
        fitted.with_certificate(certificate).write(RunFolder(change.root).decision)
    return own_run


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_question_is_answered_where_no_risk_is_named(call, own_run, questions):
    code, out, err = call("answer", own_run, "--data", questions)
    rows = rows_of(own_run / "answers" / "new.csv")
    expected = measure_uncertainty(predicted(own_run, questions).logits_MNC)

    assert (code, err) == (0, "")
    assert "11 questions, all answered: no risk was named." in out
    assert "without a temperature" in out
    assert [row["id"] for row in rows] == [f"new {n}" for n in range(11)]
    assert [row["class"] for row in rows] == [("no", "yes")[c] for c in expected.prediction_N]
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected.confidence_N, atol=1e-6)
    np.testing.assert_allclose([float(row["score"]) for row in rows], 1 - expected.confidence_N, atol=1e-6)
    assert {(row["decision"], row["members"]) for row in rows} == {("answered", "2")}
    assert FORMULA in rows[0]["text"]
    assert "The number 7 is sosososososo" in rows[7]["text"]
    assert call("verify", own_run)[0] == 0


def test_the_certificate_abstains_and_the_temperature_is_applied(call, deciding_run, questions):
    code, out, err = call("answer", deciding_run, "--data", questions, "--target-risk", 0.3, "--json")
    summary, rows = json.loads(out), rows_of(deciding_run / "answers" / "new.csv")
    fitted = Fitted.read(deciding_run / "decision.json")
    predictions = predicted(deciding_run, questions)
    answered_N = fitted.answers(predictions, fitted.certificate(0.3))
    probs_NC = np.exp(fitted.temperatures.apply(predictions.logits_MNC)["pooled"])

    assert code == 0, err
    assert [row["decision"] == "answered" for row in rows] == answered_N.tolist()
    assert 0 < answered_N.sum() < 11
    np.testing.assert_allclose([float(row["probability"]) for row in rows], probs_NC.max(axis=1), atol=1e-6)
    assert (summary["answered"], summary["rows"], summary["target_risk"]) == (answered_N.sum(), 11, 0.3)
    assert summary["coverage"] == answered_N.mean()
    assert summary["temperature"] == fitted.temperatures.pooled.value
    assert sum(summary["answered_by_class"].values()) == answered_N.sum()
    words = {"answered": "is at most", "abstained": "is above"}
    assert all(words[row["decision"]] in row["why"] for row in rows)
    record = json.loads((deciding_run / "answers" / "new.json").read_text())
    assert record == {key: value for key, value in summary.items() if key not in ("answers", "coverage")}


def test_another_place_and_another_format(call, own_run, questions, tmp_path):
    lines = [json.loads(line) for line in questions.read_text().splitlines()]
    table = tmp_path / "the same.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=["passage", "id", "question", "answer"])
        writer.writeheader()
        writer.writerows({**line, "answer": "no label at all"} for line in lines)
    words = ["--name", "same", "--output", tmp_path / "out" / "there.csv"]
    code, out, err = call("answer", own_run, "--data", table, *words)
    assert (code, err) == (0, "")
    assert call("answer", own_run, "--data", questions)[0] == 0
    assert (tmp_path / "out" / "there.csv").read_text() == (own_run / "answers" / "new.csv").read_text()
    assert f"answers in {tmp_path / 'out' / 'there.csv'}" in out
    assert not (own_run / "checkpoints").exists()
    assert not (own_run / "answers" / "same.csv").exists()


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(row_stream, "ROWS", 3)


class KilledError(Exception):
    """As much of a kill as a test in this process can have."""


@pytest.fixture
def killed_after(monkeypatch):
    """Let only so many shards be predicted."""

    def arrange(shards):
        left = iter(range(shards))
        real = predict_examples

        def predict(*arguments, **named):
            if next(left, None) is None:
                raise KilledError("between two shards")
            return real(*arguments, **named)

        monkeypatch.setattr(answer_stream, "predict_examples", predict)

    return arrange


@pytest.mark.parametrize("shards", [0, 1, 3])
def test_a_killed_command_goes_on_and_writes_every_row_once(
    call, own_run, questions, small_shards, killed_after, shards
):
    assert call("answer", own_run, "--data", questions, "--name", "at_once")[0] == 0
    killed_after(shards)
    with pytest.raises(KilledError, match="between two shards"):
        call("answer", own_run, "--data", questions)
    assert not (own_run / "answers" / "new.csv").exists()
    killed_after(4 - shards)
    code, out, _ = call("answer", own_run, "--data", questions, "--json")

    assert code == 0
    assert json.loads(out)["resumed_after"] == 3 * shards
    assert (own_run / "answers" / "new.csv").read_bytes() == (own_run / "answers" / "at_once.csv").read_bytes()
    assert not (own_run / "checkpoints").exists()
    assert call("verify", own_run)[0] == 0


def test_what_is_kept_of_other_data_or_another_decision_is_refused(
    call, own_run, questions, small_shards, killed_after
):
    killed_after(2)
    with pytest.raises(KilledError, match="between two shards"):
        call("answer", own_run, "--data", questions)
    questions.write_text(questions.read_text().replace("is 10 odd", "is 12 odd"))
    killed_after(9)
    code, _, err = call("answer", own_run, "--data", questions)
    assert code == 3
    assert "holds answers of an interrupted command, with other data than now" in err
    code, _, err = call("answer", own_run, "--data", questions, "--set", "max_length=100")
    assert "with other data and settings of the prompt than now" in err
    assert call("answer", own_run, "--data", questions, "--name", "other")[0] == 0  # as the message says


@pytest.mark.filterwarnings("default:.*passed over:UserWarning")
def test_a_part_that_is_not_sound_is_made_again(call, own_run, questions, small_shards, killed_after):
    assert call("answer", own_run, "--data", questions, "--name", "at_once")[0] == 0
    killed_after(2)
    with pytest.raises(KilledError, match="between two shards"):
        call("answer", own_run, "--data", questions)
    torn = own_run / "checkpoints" / "answers" / "new" / "rows_000000000003" / "answers.csv"
    torn.write_text("torn")
    killed_after(9)
    code, _, err = call("answer", own_run, "--data", questions)
    assert code == 0
    assert "this part of the answers is passed over" in err
    assert (own_run / "answers" / "new.csv").read_bytes() == (own_run / "answers" / "at_once.csv").read_bytes()


def test_a_bad_last_row_costs_no_work(call, own_run, questions, small_shards, killed_after):
    with questions.open("a") as stream:
        stream.write('{"id": "last", "question": 3, "passage": "It is."}\n')
    killed_after(0)  # not one shard is predicted
    code, _, err = call("answer", own_run, "--data", questions)
    assert code == 3
    assert f"{questions}:12: the field 'question' is 3; it must be text" in err


def test_what_is_refused_before_any_work(call, deciding_run, questions, tmp_path, killed_after):
    killed_after(0)
    beside = tmp_path / "beside.csv"
    for words, code, message in [
        (["--target-risk", 0.1], 3, f"make it with `ensemble-uq decide {deciding_run} --target-risk 0.1`"),
        (["--output", questions], 2, "the file of the questions themselves; name another"),
        (["--output", deciding_run / "predictions" / "validation.parquet"], 2, "a folder whose files are recorded"),
        (["--name", "../up"], 2, "cannot name a set"),
        (["--target-risk", 0.3, "--confidence", 0.99, "--output", beside], 3, "--target-risk 0.3 --confidence 0.99`"),
        (["--target-risk", 3], 2, "--target-risk 3: must be above 0 and below 1"),
        (["--confidence", 0.9], 2, "is that of a certificate; name its --target-risk, too"),
    ]:
        found, out, err = call("answer", deciding_run, "--data", questions, *words)
        assert (found, out) == (code, "")
        assert message in err
    code, _, err = call("answer", deciding_run, "--data", tmp_path / "nw.jsonl")
    assert code == 3
    assert "did you mean 'new.jsonl'?" in err
    assert call("answer", deciding_run)[0] == 2


def test_without_a_decision_the_command_that_makes_one_is_named(call, own_run, questions):
    code, _, err = call("answer", own_run, "--data", questions, "--target-risk", 0.1)
    assert code == 3
    assert (
        f"has no decision.json, so no certificate for a risk of 0.1; make it with `ensemble-uq decide {own_run}" in err
    )


def test_a_decision_of_other_members_is_refused_before_any_work(call, deciding_run, questions, killed_after):
    folder = RunFolder(deciding_run)
    fitted = Fitted.read(folder.decision)
    with folder.change() as change:
        other = dict.fromkeys(fitted.member_weights, "0" * 64)
        replace(fitted, member_weights=other).write(RunFolder(change.root).decision)
    killed_after(0)
    for words in ([], ["--target-risk", 0.3]):
        code, _, err = call("answer", deciding_run, "--data", questions, *words)
        assert code == 3
        assert "with other weights of seed 42 and seed 43 than the calibration set" in err


@pytest.mark.parametrize("words", [[], ["--target-risk", 0.3]])
def test_an_exact_exit_changes_no_decision(call, deciding_run, questions, words):
    assert call("answer", deciding_run, "--data", questions, "--name", "all", *words)[0] == 0
    code, out, err = call("answer", deciding_run, "--data", questions, "--exit", "exact", *words)
    of_all, some = (rows_of(deciding_run / "answers" / f"{name}.csv") for name in ("all", "new"))
    assert code == 0, err
    assert [row["decision"] for row in some] == [row["decision"] for row in of_all]
    assert all(a["class"] == b["class"] for a, b in zip(some, of_all, strict=True) if a["decision"] == "answered")
    assert "No decision is another than that of all members" in out
    assert {row["members"] for row in some} == {"2"}  # of two members both are asked


def test_a_certified_exit_needs_calibration_rows(call, deciding_run, questions):
    code, _, err = call("answer", deciding_run, "--data", questions, "--exit", "certified")
    assert code == 3
    assert "certified on a calibration split" in err
    code, _, err = call("answer", deciding_run, "--data", questions, "--exit", "perhaps")
    assert code == 2


def test_no_cell_is_a_formula_and_lines_in_a_text_stay_in_their_cell(call, own_run, tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text(json.dumps({"id": "=1+1", "question": 'is it,\n"so"', "passage": "@SUM(A1)\x1b[2J"}) + "\n")
    assert call("answer", own_run, "--data", path)[0] == 0
    [row] = rows_of(own_run / "answers" / "new.csv")
    assert row["id"] == "'=1+1"
    assert 'is it,\n"so"' in row["text"]
    assert "\x1b" not in row["text"]
