import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble_uq_llm import EnsembleClassifier
from ensemble_uq_llm.config_file import config_to_yaml, with_absolute_paths
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prepare import load_validation
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup
from ensemble_uq_llm.evaluation.decisions.fitted import fit_decisions
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import origin_of, predict_examples
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.training.loop import train
from small_runs import settings


@pytest.fixture(scope="module")
def run(tiny_base: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory):
    config = settings(tiny_base, tiny_data, tmp_path_factory.mktemp("runs") / "run")
    train(config)
    return config


def test_it_says_what_the_run_predicts(run) -> None:
    examples = load_validation(run)
    logits_MNC = predict_examples(load_members(run), PreparedSet(examples, run)).logits_MNC
    expected = measure_uncertainty(logits_MNC)
    answer = EnsembleClassifier.from_pretrained(run.output_dir).predict([dict(each.fields) for each in examples])
    np.testing.assert_allclose(answer.probs_NC, expected.probs_NC, atol=1e-12)
    np.testing.assert_allclose(answer.member_probs_MNC.mean(axis=0), answer.probs_NC, atol=1e-12)
    np.testing.assert_allclose(answer.uncertainty.mutual_information_N, expected.mutual_information_N, atol=1e-12)
    assert answer.labels == [("no", "yes")[index] for index in expected.prediction_N]


def test_a_moved_run_and_single_adapters_load_too(run, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(run.output_dir)
    assert EnsembleClassifier.from_pretrained(moved).members == trained((1, 2, 3))
    one = EnsembleClassifier.from_pretrained(run.output_dir, adapters=[run.output_dir / "seed_2"])
    assert one.members == trained((2,))


@pytest.fixture(scope="module")
def classifier(run):
    return EnsembleClassifier.from_pretrained(run.output_dir)


@pytest.fixture(scope="module")
def asking_one_column(run):
    """The same members behind a prompt of a single column."""
    config = run.model_copy(update={"prompt_template": "Question: {question}", "cut_column": None})
    return EnsembleClassifier(load_members(run), config)


QUESTION = {"question": "is 3 even", "passage": "The number 3 is odd."}
OTHER = {"question": "is 4 even", "passage": "The number 4 is even, which was to be shown at length."}


def test_one_question_is_a_list_of_one(classifier) -> None:
    one, several = classifier.predict(QUESTION), classifier.predict([QUESTION])
    assert one.probs_NC.shape == (1, 2)
    assert one.member_probs_MNC.shape == (3, 1, 2)
    assert np.array_equal(one.member_probs_MNC, several.member_probs_MNC)
    assert one.labels == several.labels
    assert len(one.labels) == 1


def test_answers_keep_the_order_of_the_questions(classifier) -> None:
    questions = [OTHER, QUESTION, OTHER, QUESTION, QUESTION]
    alone = {id(each): classifier.predict(each).member_probs_MNC[:, 0] for each in (QUESTION, OTHER)}
    answer = classifier.predict(tuple(questions))
    for n, each in enumerate(questions):
        np.testing.assert_allclose(answer.member_probs_MNC[:, n], alone[id(each)], atol=1e-6)
    assert not np.allclose(alone[id(QUESTION)], alone[id(OTHER)], atol=1e-6)


def test_a_text_where_the_prompt_has_one_column(asking_one_column) -> None:
    text = "is 3 even"
    expected = asking_one_column.predict({"question": text}).member_probs_MNC
    assert np.array_equal(asking_one_column.predict(text).member_probs_MNC, expected)
    assert np.array_equal(asking_one_column.predict([text]).member_probs_MNC, expected)
    mixed = asking_one_column.predict([text, {"question": text, "note": 3}])
    np.testing.assert_allclose(mixed.member_probs_MNC, np.repeat(expected, 2, axis=1), atol=1e-6)


NEEDED = "give {'question': '...', 'passage': '...'}"


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "questions: empty"),
        ("is it", f"questions[0]: a bare text, but the prompt needs 'question', 'passage'; {NEEDED}"),
        ([QUESTION, "is it"], f"questions[1]: a bare text, but the prompt needs 'question', 'passage'; {NEEDED}"),
        ({}, "questions[0]: 'question' is missing; the prompt needs {'question': '...', 'passage': '...'}"),
        ([{"question": "is it"}], "questions[0]: 'passage' is missing; the prompt needs {"),
        (
            [QUESTION, {"question": "is it", "pasage": "so"}],
            "questions[1]: 'passage' is missing (there is 'pasage'; did you mean 'passage'?); the prompt needs",
        ),
        ({"question": "is it", "passage": 3}, "questions[0]: 'passage' must be text, found 3; the prompt needs"),
        ([3], f"questions[0]: found int; {NEEDED}"),
        ([["is it"]], f"questions[0]: found list; {NEEDED}"),
        (3, "questions: found int; give a text, a mapping, or a list of them"),
        (None, "questions: found NoneType; give a text"),
        (b"is it", "questions: found bytes; give a text"),
        (iter([QUESTION]), "questions: found list_iterator; give a text"),
    ],
)
def test_questions_that_cannot_be_asked(classifier, questions: object, message: str) -> None:
    with pytest.raises(DataError, match="^" + re.escape(message)):
        classifier.predict(questions)


def test_what_they_are_called(run, classifier) -> None:
    assert repr(classifier) == f"EnsembleClassifier(3 members of {run.model_name!r}, 2 classes)"
    answer = classifier.predict([QUESTION] * 5)
    label, confidence = answer.labels[0], answer.uncertainty.confidence_N[0]
    assert repr(answer).startswith(f"Prediction(5 questions, 3 members: {label!r} {confidence:.3f}, ")
    assert repr(answer).endswith(", ...)")
    assert repr(classifier.predict(QUESTION)) == f"Prediction(1 question, 3 members: {label!r} {confidence:.3f})"


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder without config\.yaml, so not a run"):
        EnsembleClassifier.from_pretrained(tmp_path)


@pytest.fixture
def deciding(run, classifier, tmp_path):
    """The classifier of a run that has a decision.json with one certificate, which abstains from one of two."""
    examples = load_validation(run)
    loaded = load_members(run)
    logits = predict_examples(loaded, PreparedSet(examples, run))
    fitted = fit_decisions(
        replace(logits, origin=origin_of(loaded, run)), name="calibration", rng=np.random.default_rng(0), draws=0
    )
    scores_N = 1 - classifier.predict([QUESTION, OTHER]).uncertainty.confidence_N
    group = CertifiedGroup(group=None, threshold=float(scores_N.mean()), rows=24, wrong=5)
    certificate = Certificate(target_risk=0.2, confidence=0.9, score="one_minus_confidence", groups=(group,))
    fitted.with_certificate(certificate).write(tmp_path / "decision.json")
    (tmp_path / "config.yaml").write_text(config_to_yaml(with_absolute_paths(run)))
    return EnsembleClassifier(loaded, run.model_copy(update={"output_dir": tmp_path})), fitted, scores_N


def test_it_decides_by_the_certificate(deciding) -> None:
    classifier, fitted, scores_N = deciding
    answers = classifier.decide([QUESTION, OTHER], target_risk=0.2)
    assert answers.answered_N.tolist() == (scores_N < scores_N.mean()).tolist()
    assert sorted(answers.answered_N) == [False, True]
    assert answers.names == classifier.predict([QUESTION, OTHER]).labels
    assert answers.labels == [
        name if yes else None for name, yes in zip(answers.names, answers.answered_N, strict=True)
    ]
    np.testing.assert_allclose(answers.scores_N, scores_N, atol=1e-12)
    assert answers.probs_NC.shape == (2, 2)
    assert answers.certificate.target_risk == 0.2
    assert classifier.decide(QUESTION).answered_N.tolist() == [True]
    log_probs_NC = np.log(classifier.predict(QUESTION).probs_NC) / fitted.temperatures.pooled.value
    expected_NC = np.exp(log_probs_NC) / np.exp(log_probs_NC).sum()
    np.testing.assert_allclose(classifier.decide(QUESTION).probs_NC, expected_NC, atol=1e-9)


def test_what_it_cannot_decide_by(run, deciding, classifier) -> None:
    own = deciding[0]
    command = re.escape(f"make it with `ensemble-uq decide {own.config.output_dir} --target-risk 0.1`")
    with pytest.raises(DataError, match=f"no certificate for a risk of 0.1 has been fitted; there are.*{command}"):
        own.decide(QUESTION, target_risk=0.1)
    with pytest.raises(DataError, match=r"has no decision.json, so no certificate for a risk of 0.1"):
        classifier.decide(QUESTION, target_risk=0.1)
    other = EnsembleClassifier.from_pretrained(run.output_dir, adapters=[run.output_dir / "seed_2"])
    other.config = own.config
    with pytest.raises(DataError, match="predicted without seed 1 and seed 3 than the calibration set"):
        other.decide(QUESTION)
