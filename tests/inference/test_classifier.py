from pathlib import Path

import numpy as np
import pytest

from ensemble_uq_llm import EnsembleClassifier
from ensemble_uq_llm.data.prepare import load_validation
from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import predict_examples
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
    logits_MNC = predict_examples(load_members(run), examples, run).logits_MNC
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


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "questions: empty"),
        ([{"question": "is it"}], r"questions\[0\]: 'passage' must be text, found None"),
        ([{"question": "is it", "passage": 3}], r"questions\[0\]: 'passage' must be text, found 3"),
    ],
)
def test_questions_that_cannot_be_asked(run, questions: list[dict], message: str) -> None:
    classifier = EnsembleClassifier.from_pretrained(run.output_dir)
    with pytest.raises(DataError, match=message):
        classifier.predict(questions)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder without config\.yaml, so not a run"):
        EnsembleClassifier.from_pretrained(tmp_path)
