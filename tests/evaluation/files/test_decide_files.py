import json
from dataclasses import replace

import pytest

from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import labelled_scores
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.evaluation.files import decide_files
from ensemble_uq_llm.evaluation.files.decide_files import PromiseAsked, decide_file, decide_run
from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_run
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.parquet import write_predictions
from ensemble_uq_llm.report.page import write_report
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.verification.verify import verify
from small_predictions import left_out_of, predicted

ASKED = PromiseAsked(target_risk=0.15)


def made(n, *, seed, weights="a", first=0):
    own = predicted(n=n, noise=0.3, seed=seed)
    origin = Origin(weights={member.folder_name: weights for member in own.members}, base="base", data="data")
    return replace(own, ids=tuple(f"r{i}" for i in range(first, first + n)), origin=origin)


@pytest.fixture
def folder(tmp_path):
    """A run's predictions without the run."""
    folder = RunFolder(tmp_path / "run")
    write_predictions(folder.predictions("validation"), made(600, seed=1))
    write_predictions(folder.predictions("calibration"), made(900, seed=2, first=5000))
    return folder


def test_a_run_is_certified_on_its_calibration_split_and_judged_on_the_other(folder):
    decided = decide_run(folder, ASKED, draws=0)

    assert decided.certificate.rows == 900
    assert [(each.verdict, each.rows) for each in decided.kept] == [("kept", 600)]
    assert Fitted.read(folder.decision).certificates == (decided.certificate,)


def test_it_joins_what_an_evaluation_has_fitted_and_the_next_one_keeps_it(folder):
    evaluate_run(folder, draws=0)
    before = Fitted.read(folder.decision)
    decided = decide_run(folder, ASKED, draws=0)
    after = Fitted.read(folder.decision)

    assert replace(after, certificates=()) == before
    write_report(folder)  # which refuses metrics of another decision
    found = verify(folder).findings  # of the predictions: the members are not there
    assert [name for name in found if not name.startswith("predictions/")] == []
    evaluate_run(folder, draws=0)
    assert Fitted.read(folder.decision).certificates == (decided.certificate,)
    evaluate_run(folder, draws=0)
    write_report(folder)


def test_other_weights_are_refused(folder):
    decide_run(folder, ASKED, draws=0)
    fitted = Fitted.read(folder.decision)

    with pytest.raises(DataError, match="predict both again with the same members"):
        fitted.answers(made(50, seed=3, weights="b"), fitted.certificate(0.15))
    assert fitted.answers(made(50, seed=3), fitted.certificate(0.15)).any()
    with pytest.raises(DataError, match=r"no certificate for a risk of 0\.2 has been fitted; there are '0\.15 at 90%'"):
        fitted.certificate(0.2)


def test_members_trained_anew_need_another_evaluation_first(folder):
    evaluate_run(folder, draws=0)
    decide_run(folder, ASKED, draws=0)
    with folder.owned("predict"), folder.change() as change:
        new = RunFolder(change.root)
        write_predictions(new.predictions("validation"), made(600, seed=1, weights="b"))
        write_predictions(new.predictions("calibration"), made(900, seed=2, first=5000, weights="b"))

    with pytest.raises(ConfigError, match=r"fitted on other rows or members .* evaluate again first \(ensemble-uq"):
        decide_run(folder, ASKED, draws=0)
    with pytest.warns(UserWarning, match="its 1 certificate of abstention held for other calibration rows or members"):
        evaluate_run(folder, draws=0)
    assert decide_run(folder, ASKED, draws=0).written == folder.decision  # as the message said


def test_a_decision_of_before_certificates_is_read(folder):
    evaluate_run(folder, draws=0)
    assert "certificates" not in json.loads(folder.decision.read_text())
    assert Fitted.read(folder.decision).certificates == ()


def test_an_altered_decision_is_refused(folder):
    decide_run(folder, ASKED, draws=0)
    folder.decision.write_text(folder.decision.read_text().replace('"threshold": 0.', '"threshold": 0.9'))

    with pytest.raises(IntegrityError, match="altered after it was written"):
        decide_run(folder, ASKED, draws=0)


def test_examples_that_are_tested_on_certify_nothing(folder):
    calibration = made(900, seed=2, first=5000)
    shared = replace(
        calibration,
        ids=calibration.ids[:100],
        labels=calibration.labels[:100],
        logits_MNC=calibration.logits_MNC[:, :100],
    )
    write_predictions(folder.predictions("validation"), shared)

    with pytest.warns(UserWarning, match="100 of 100 test examples are calibration examples too"):
        assert decide_run(folder, ASKED, draws=0).certificate.rows == 800


def test_rows_by_which_a_maker_has_chosen_are_told_of(folder, monkeypatch):
    monkeypatch.setattr(decide_files, "has_looked_at", lambda run, digest: digest == "data")
    with pytest.warns(
        UserWarning, match="has chosen a number for each member by the calibration split, so that the spl"
    ):
        decide_run(folder, ASKED, draws=0)
    monkeypatch.setattr(decide_files, "has_looked_at", lambda run, digest: digest == "other data")
    decide_run(folder, ASKED, draws=0)


def test_rows_out_of_bags_are_neither_certified_nor_judged(folder):
    bagged = left_out_of(made(300, seed=4, first=9000), out=1)
    write_predictions(folder.predictions("out_of_bag"), bagged)
    folder.predictions("validation").unlink()
    assert decide_run(folder, ASKED, draws=0).certificate.rows == 900
    with pytest.raises(DataError, match="carry no promise"):
        decide_file(folder.predictions("out_of_bag"), ASKED)


def test_a_run_of_bags_without_a_split_is_told_why_not(tmp_path):
    folder = RunFolder(tmp_path / "run")
    write_predictions(folder.predictions("validation"), made(600, seed=1))
    write_predictions(folder.predictions("out_of_bag"), left_out_of(made(300, seed=4, first=9000), out=1))
    with pytest.raises(
        DataError, match=r"no predictions of a calibration split, .* \(rows out of bags carry no promise\)"
    ):
        decide_run(folder, ASKED, draws=0)


def test_places_that_it_cannot_be_written_to(folder, tmp_path):
    file = tmp_path / "mine.parquet"
    write_predictions(file, made(900, seed=2))

    with pytest.raises(ConfigError, match="the folder of a run, which holds what was decided for its own members"):
        decide_file(file, ASKED, output=folder)
    elsewhere = decide_run(folder, ASKED, output=tmp_path / "out", draws=0)
    assert elsewhere.written == tmp_path / "out" / "decision.json"
    assert not folder.decision.exists()
    with pytest.raises(ConfigError, match="name a table that has it and the examples' ids with --group-file"):
        decide_run(folder, PromiseAsked(target_risk=0.1, group="country"))


def test_a_promise_by_class_knows_the_classes_of_new_examples(folder):
    decide_run(folder, PromiseAsked(target_risk=0.2, by_class=True), draws=0)
    fitted, new = Fitted.read(folder.decision), made(50, seed=3)
    [certificate] = fitted.certificates
    answered_N = fitted.answers(new, certificate)

    assert [each.group for each in certificate.groups] == ["0", "1"]
    labelled = labelled_scores(new, by="class")
    assert (answered_N == certificate.answers(labelled.scores[certificate.score], labelled.groups_N)).all()
    assert answered_N.any()
    with pytest.raises(DataError, match="the set has no one_minus_answer_mass, by which it would be decided"):
        fitted.answers(new, replace(certificate, score="one_minus_answer_mass"))
