import numpy as np
import pytest
import scipy.special
import scipy.stats

from ensemble_uq_llm.evaluation.decisions.score_choice import choose_score
from ensemble_uq_llm.evaluation.decisions.selective import selective_family
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES, uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.statistics.bootstrap import Resampled, resample_together
from small_predictions import predicted

NAMES = tuple(score.name for score in SCORES)


def resampled(scores, wrong_N, *, draws=200, seed=0):
    families = {name: selective_family(scores_N, wrong_N) for name, scores_N in scores.items()}
    return resample_together(families, sizes=[len(wrong_N)], draws=draws, seed=seed)


def told(aurc, draws_D, *, examples=200):
    """AURCs and draws as if resampled."""
    return {
        name: Resampled(
            values={"aurc": value}, draws_D={"aurc": np.asarray(draws_D[name], dtype=np.float64)}, examples=examples
        )
        for name, value in aurc.items()
    }


def noise_variants(rng, *, n=200, noise=(1.0,) * len(NAMES)):
    """Scores that see the same doubt, each through noise of its own, and which answers are wrong."""
    doubt_N = rng.normal(size=n)
    wrong_N = rng.random(n) < scipy.special.expit(doubt_N - 1.5)
    return {name: doubt_N + level * rng.normal(size=n) for name, level in zip(NAMES, noise, strict=True)}, wrong_N


def test_real_scores_have_a_best():
    predictions = predicted(n=300, members=5)
    uncertainty = measure_uncertainty(predictions.logits_MNC)
    numbers = resampled(uncertainty_scores(uncertainty), uncertainty.prediction_N != predictions.labels_N)
    choice = choose_score(numbers)

    assert choice.best == min(NAMES, key=lambda name: numbers[name].values["aurc"])
    assert choice.baseline == BASELINE
    assert choice.criterion == "aurc"
    assert choice.compared == len(SCORES)
    gain = numbers[BASELINE].values["aurc"] - numbers[choice.best].values["aurc"]
    assert choice.gain.value == pytest.approx(gain)
    assert choice.p_value_of_choice is not None


def test_the_best_is_sought_among_those_that_are_really_better():
    """A score of lower AURC that swings from draw to draw is no better choice than one that is surely better."""
    rng = np.random.default_rng(0)
    aurc = {"base": 0.20, "sure": 0.19, "swinging": 0.17, "worse": 0.22}
    spread = {"base": 0.0, "sure": 0.002, "swinging": 0.05, "worse": 0.01}
    draws_D = {name: value + spread[name] * rng.normal(size=199) for name, value in aurc.items()}
    choice = choose_score(told(aurc, draws_D), names=tuple(aurc), baseline="base")
    without = choose_score(told(aurc, draws_D), names=("base", "swinging", "worse"), baseline="base")

    assert (choice.best, choice.chosen, choice.p_value_of_choice) == ("sure", "sure", 1 / 200)
    assert (without.best, without.chosen) == ("swinging", "base")


@pytest.mark.parametrize("n", [2, 10, 19])
def test_few_examples_tell_nothing(n):
    """The baseline has all mistakes last, entropy first; resampling cannot know that this may be luck."""
    wrong_N = np.arange(n) == n - 1
    choice = choose_score(
        resampled({BASELINE: -np.arange(n), "entropy": np.arange(n)}, wrong_N), names=(BASELINE, "entropy")
    )

    assert (choice.best, choice.p_value_of_choice, choice.really_better) == ("entropy", None, False)
    assert choice.answer.endswith("but fewer than 20 examples tell nothing.")
    assert choice.answer.startswith("Use one minus confidence: entropy has the lowest AURC")


@pytest.mark.parametrize("other", [0.2, 0.2 * (1 - 1e-14), 0.3])
def test_the_baseline_wins_ties_up_to_rounding(other):
    aurc = {"entropy": other, BASELINE: 0.2}
    choice = choose_score(told(aurc, {"entropy": [other] * 50, BASELINE: [0.2] * 50}), names=tuple(aurc))

    assert choice.best == BASELINE
    assert choice.gain.value == 0.0
    assert choice.p_value_of_choice == 1.0
    assert not choice.really_better
    assert choice.answer == "Use one minus confidence: none of the 1 other scores has a lower AURC."


def test_without_errors_every_score_is_as_good_as_the_baseline():
    rng = np.random.default_rng(0)
    scores, wrong_N = noise_variants(rng, n=40)
    choice = choose_score(resampled(scores, np.zeros_like(wrong_N), draws=50))

    assert (choice.best, choice.gain.value, choice.really_better) == (BASELINE, 0.0, False)


@pytest.mark.parametrize(("n", "draws"), [(40, 0), (1, 0)])
def test_without_draws_there_is_no_evidence(n, draws):
    wrong_N = np.arange(n) > n // 2
    scores = {BASELINE: -np.arange(n), "entropy": np.arange(n)}
    choice = choose_score(resampled(scores, wrong_N, draws=draws), names=tuple(scores))

    assert choice.p_value_of_choice is None
    assert choice.gain.ci95 is None
    assert not choice.really_better
    assert choice.answer.startswith("Use one minus confidence: ")


def test_picking_the_best_of_equals_fools_the_plain_p_value_but_not_the_check():
    rng = np.random.default_rng(0)
    sets, rejected, fooled = 1000, 0, 0
    for _ in range(sets):
        aurc = dict(zip(NAMES, rng.normal(0.2, 0.01, size=len(NAMES)).tolist(), strict=True))
        choice = choose_score(told(aurc, {name: rng.normal(aurc[name], 0.01, size=199) for name in NAMES}))
        rejected += choice.really_better
        fooled += choice.best != BASELINE and choice.gain.p_value < 0.05

    # The plain p-value is two-sided: of a score named in advance 2.5% would be taken for better.
    assert rejected <= scipy.stats.binom.ppf(0.999, sets, 0.05)
    assert fooled > scipy.stats.binom.ppf(0.999, sets, 0.05)


def test_scores_of_equal_noise_are_rarely_called_better():
    rng = np.random.default_rng(0)
    sets = 60
    choices = [choose_score(resampled(*noise_variants(rng), draws=199, seed=seed)) for seed in range(sets)]
    rejected = sum(choice.p_value_of_choice < 0.05 for choice in choices)
    fooled = sum(choice.best != BASELINE and choice.gain.p_value < 0.05 for choice in choices)

    assert rejected <= scipy.stats.binom.ppf(0.999, sets, 0.05)
    assert fooled > rejected


def test_a_truly_better_score_is_found():
    rng = np.random.default_rng(0)
    noise = [2.0] * len(NAMES)
    noise[NAMES.index("mutual_information")] = 0.2
    scores, wrong_N = noise_variants(rng, n=1000, noise=noise)
    choice = choose_score(resampled(scores, wrong_N, draws=500))

    assert choice.best == "mutual_information"
    assert (choice.p_value_of_choice, choice.at_floor) == (pytest.approx(1 / 501), True)
    assert "one-sided p < 0.002, allowing for the choice among 9" in choice.answer
    assert choice.really_better
    assert choice.chosen == "mutual_information"
    assert choice.answer.startswith("Use mutual information: its AURC is lower than that of one minus confidence by 0.")


def test_a_lead_that_may_be_chance_leaves_the_baseline():
    rng = np.random.default_rng(0)
    aurc = {BASELINE: 0.2, "entropy": 0.199}
    draws_D = {name: value + 0.02 * rng.normal(size=99) for name, value in aurc.items()}
    choice = choose_score(told(aurc, draws_D), names=tuple(aurc))

    assert choice.best == "entropy"
    assert choice.chosen == BASELINE
    sentence = choice.answer
    assert sentence.startswith("Use one minus confidence: entropy has a lower AURC by 0.001, but that may be chance (")
    assert sentence.endswith(", allowing for the choice among 2).")
    assert f"one-sided p = {choice.p_value_of_choice:.3f}" in sentence
