import json
from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.predictions.parquet import write_predictions
from small_predictions import predicted, unlabelled


@pytest.fixture
def files(tmp_path):
    write_predictions(tmp_path / "held_out.parquet", predicted(n=900, noise=0.3))
    write_predictions(tmp_path / "new.parquet", predicted(n=300, noise=0.3, seed=5))
    write_predictions(tmp_path / "few.parquet", predicted(n=15, noise=0.3))
    return tmp_path


def decided(call, *words):
    code, out, err = call("decide", *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_the_promise_and_its_price_from_a_file(call, files):
    code, out, _ = call("decide", files / "held_out.parquet", "--target-risk", 0.15)
    content = decided(call, files / "held_out.parquet", "--target-risk", 0.15)

    threshold, [group] = content["threshold"], content["groups"]
    assert code == 0
    assert (content["score"], content["certified_risk"], content["confidence"]) == ("one_minus_confidence", 0.15, 0.9)
    assert f"Answer where one_minus_confidence is at most {threshold:.6g}: then at most a share of 0.15" in out
    assert f"It answers {content['coverage']:.1%} of the 900 calibration rows" in out
    assert f"answering all would give about {1000 * group['wrong'] / 900:.0f} wrong answers" in out
    predictions = predicted(n=900, noise=0.3)
    uncertainty = measure_uncertainty(predictions.logits_MNC.astype(np.float32))
    answered_N = 1 - uncertainty.confidence_N <= threshold
    assert answered_N.sum() == group["answered"] == round(900 * content["coverage"])
    wrong_N = uncertainty.prediction_N != predictions.labels_N
    assert (wrong_N & answered_N).sum() == group["wrong_answered"]


def test_nothing_that_can_be_certified_is_no_failure(call, files):
    content = decided(call, files / "few.parquet", "--target-risk", 0.05)
    code, out, _ = call("decide", files / "few.parquet", "--target-risk", 0.05)

    assert (content["threshold"], content["certified_risk"], content["coverage"]) == (None, None, 0.0)
    assert code == 0
    assert "Nothing can be certified" in out
    assert "Fewer than 77 answered rows certify nothing" in out


def test_a_folder_keeps_promises_of_the_same_rows_and_the_members_answer_by_them(call, files):
    out = files / "out"
    for risk in (0.15, 0.2):
        content = decided(call, files / "held_out.parquet", "--target-risk", risk, "--output", out)
    again = decided(call, files / "held_out.parquet", "--target-risk", 0.2, "--output", out, "--score", "entropy")
    fitted = Fitted.read(out / "decision.json")

    assert content["decision"] == str(out / "decision.json")
    assert [(each.target_risk, each.score) for each in fitted.certificates] == [
        (0.15, "one_minus_confidence"),
        (0.2, "entropy"),
    ]
    new = predicted(n=300, noise=0.3, seed=5)
    answered_N = fitted.answers(new, fitted.certificate(0.2))
    assert (answered_N == (measure_uncertainty(new.logits_MNC).entropy_N <= again["threshold"])).all()


@pytest.mark.filterwarnings("ignore:.* certificate of abstention held for other:UserWarning")
def test_it_stands_beside_the_metrics_that_were_fitted_on_the_same_rows(call, files):
    evaluate = ["evaluate", files / "new.parquet", "--calibration", files / "held_out.parquet", "--draws", 100]
    assert call(*evaluate, "--output", files / "out")[0] == 0
    before = Fitted.read(files / "out" / "decision.json")
    decided(call, files / "held_out.parquet", "--target-risk", 0.15, "--output", files / "out")
    after = Fitted.read(files / "out" / "decision.json")

    assert replace(after, certificates=()) == before
    assert call("report", files / "out", "--json")[0] == 0  # the metrics go with it
    assert call("verify", files / "out")[0] == 0
    assert call(*evaluate, "--output", files / "out")[0] == 0
    assert Fitted.read(files / "out" / "decision.json").certificates == after.certificates
    code, _, err = call("decide", files / "few.parquet", "--target-risk", 0.15, "--output", files / "out")
    assert code == 2
    assert "fitted on other rows or members than these" in err
    assert f"(ensemble-uq evaluate FILE --calibration THIS_FILE --output {files / 'out'})" in err
    again = ["evaluate", files / "new.parquet", "--calibration", files / "few.parquet", "--draws", 100]
    assert call(*again, "--output", files / "out")[0] == 0  # as it says
    decided(call, files / "few.parquet", "--target-risk", 0.15, "--output", files / "out")


@pytest.mark.filterwarnings("default:.* certificate of abstention held for other:UserWarning")
def test_promises_of_other_rows_go_and_that_is_said(call, files):
    decided(call, files / "held_out.parquet", "--target-risk", 0.15, "--output", files / "out")
    write_predictions(files / "other.parquet", predicted(n=100, noise=0.3, seed=7))
    words = ["--calibration", files / "other.parquet", "--draws", 100, "--output", files / "out"]
    code, _, err = call("evaluate", files / "new.parquet", *words)

    assert code == 0
    assert "its 1 certificate of abstention held for other calibration rows or members, and went" in err
    assert Fitted.read(files / "out" / "decision.json").certificates == ()


@pytest.mark.filterwarnings("default:.* certificate of abstention held for other:UserWarning")
def test_a_promise_of_other_rows_in_place_of_those_that_are_there_is_told(call, files):
    decided(call, files / "held_out.parquet", "--target-risk", 0.15, "--output", files / "out")
    code, _, err = call("decide", files / "few.parquet", "--target-risk", 0.15, "--output", files / "out")

    assert code == 0
    assert "its 1 certificate of abstention held for other calibration rows or members, and went" in err


def test_groups_of_a_table_apart_are_joined_by_id_or_not_at_all(call, files):
    names = predicted(n=900, noise=0.3).ids
    rows = [f"{name},{'no' if n % 3 else 'se'}" for n, name in enumerate(names)]
    ids, others = files / "ids.csv", files / "others.csv"
    ids.write_text("\n".join(["id,land", *reversed(rows)]) + "\n")
    others.write_text("\n".join(["name,land", *reversed(rows)]) + "\n")
    words = ["decide", files / "held_out.parquet", "--target-risk", 0.2, "--group", "land", "--group-file"]

    assert "land no: Answer where" in call(*words, ids)[1]
    code, out, err = call(*words, others)
    assert (code, out) == (3, "")
    assert "others.csv: there is no column 'id', by which its rows are joined to the predictions" in err


def test_classes_and_groups_of_a_column(call, files):
    rows = predicted(n=900, noise=0.3)
    probs_NC = measure_uncertainty(rows.logits_MNC).probs_NC
    lines = ["id,label,prob,country"] + [
        f"{name},{label},{prob!r},{'no' if n % 3 else 'se'}"
        for n, (name, label, prob) in enumerate(zip(rows.ids, rows.labels, probs_NC[:, 1].tolist(), strict=True))
    ]
    (files / "grouped.csv").write_text("\n".join(lines) + "\n")
    by_group = decided(call, files / "grouped.csv", "--target-risk", 0.2, "--group", "country")
    by_class = decided(call, files / "grouped.csv", "--target-risk", 0.2, "--by-class")
    said = call("decide", files / "grouped.csv", "--target-risk", 0.2, "--group", "country")[1]

    assert [(each["group"], each["rows"]) for each in by_group["groups"]] == [("no", 600), ("se", 300)]
    assert (by_group["threshold"], by_group["by"]) == (None, "country")
    assert [each["group"] for each in by_class["groups"]] == ["0", "1"]
    assert "country no: Answer where" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--target-risk", 2], 2, "--target-risk 2: must be above 0 and below 1, such as 0.05"),
        (["--target-risk", 0.1, "--score", "entrpy"], 2, "did you mean 'entropy'?"),
        (["--target-risk", 0.1, "--group", "land"], 3, "there is no column 'land'; there are 'id', 'label'"),
        (["--target-risk", 0.1, "--group", "label"], 2, "--group label: the true labels, which nobody knows"),
        (["--target-risk", 0.1, "--group", "a", "--by-class"], 2, "rows are certified apart by one of them"),
        (["--target-risk", 0.1, "--group-file", "a.csv"], 2, "say with --group which of its columns is meant"),
    ],
)
def test_what_cannot_be_done_is_named(call, files, words, code, message):
    found, out, err = call("decide", files / "held_out.parquet", *words)

    assert (found, out) == (code, "")
    assert message in err


def test_a_file_without_labels_and_one_that_is_not_there(call, files):
    write_predictions(files / "new.parquet", unlabelled(predicted(n=30)))
    assert call("decide", files / "new.parquet", "--target-risk", 0.1)[0] == 3
    code, _, err = call("decide", files / "held_ou.parquet", "--target-risk", 0.1)
    assert code == 3
    assert "did you mean 'held_out.parquet'?" in err


def test_a_run_without_a_calibration_split_says_what_makes_one(call, own_run):
    code, _, err = call("decide", own_run, "--target-risk", 0.1)

    assert code == 3
    assert f"`ensemble-uq predict {own_run} --data calibration`" in err
    assert "calibration_fraction" in err
