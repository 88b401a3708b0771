from dataclasses import replace

import numpy as np
import pytest

from ensemble_uq_llm.evaluation.classes.question_options import count_options, is_choice, option_averages
from ensemble_uq_llm.evaluation.evaluate import evaluate_sets
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.records import Options
from ensemble_uq_llm.labels.lacking_options import masked
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted
from small_protocols import SETTINGS, with_origin

COUNTS = [3, 5, 4, 4, 3, 5, 4]
LOGITS_MNC = np.random.default_rng(3).normal(size=(3, len(COUNTS), 5))


def choice():
    logits_MNC = masked(LOGITS_MNC, np.array(COUNTS))
    return Predictions.from_arrays(logits=logits_MNC, labels=[0] * len(COUNTS))


def test_averages_are_those_of_a_loop_over_questions():
    entropy, guessed = [], []
    for n, options in enumerate(COUNTS):
        exponentials = [np.exp(LOGITS_MNC[m, n, :options]) for m in range(3)]
        pooled = sum(each / each.sum() for each in exponentials) / 3
        entropy.append(-sum(p * np.log(p) for p in pooled) / np.log(options))
        guessed.append(1 / options)
    averages = option_averages(Measured.of(choice()))
    assert averages == pytest.approx(
        {
            "average_options": 4.0,
            "average_normalised_entropy": float(np.mean(entropy)),
            "accuracy_of_guessing": float(np.mean(guessed)),
        }
    )
    assert count_options(Measured.of(choice())) == Options(fewest=3, most=5)


def test_questions_with_as_many_options_each_are_known_by_their_prompt():
    asked = with_origin(settings=SETTINGS | {"prompt_template": "{question}\n{options}\nAnswer:"})
    assert is_choice(Measured.of(asked))
    assert count_options(Measured.of(asked)) == Options(fewest=2, most=2)
    assert option_averages(Measured.of(asked))["accuracy_of_guessing"] == 0.5


@pytest.mark.parametrize("settings", [SETTINGS, {}, {"prompt_template": ["{options}"]}])
def test_other_questions_have_none(settings):
    assert not is_choice(Measured.of(with_origin(settings=settings)))
    assert not is_choice(Measured.of(predicted()))


def test_they_stand_in_the_metrics_of_multiple_choice_alone():
    metrics = evaluate_sets({"main": choice()}, draws=0)["main"].metrics
    assert metrics.options == Options(fewest=3, most=5)
    assert metrics.uncertainty["average_options"] == 4.0
    other = evaluate_sets({"main": replace(predicted(), labels=(0, 1) * 30)}, draws=0)["main"].metrics
    assert other.options is None
    assert "accuracy_of_guessing" not in other.uncertainty
