"""How often is a score called better than the baseline, where it is and where none is? A simulation of the test.

    python benchmarks/score_choice_power.py [--sets 400] [--examples 500] [--draws 300]

Nine scores see the same doubt, each through noise of its own: the noisier, the worse. The test of `choose_score`
(Hansen's, studentised) is set beside White's reality check and the plain p-value of the best score's gain, which knows
nothing of the choice; all are one-sided at 5%, on the same draws.
"""

import argparse
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ensemble_uq_llm.evaluation.decisions.score_choice import CRITERION, choose_score
from ensemble_uq_llm.evaluation.decisions.selective import selective_family
from ensemble_uq_llm.evaluation.scores import BASELINE, SCORES
from ensemble_uq_llm.statistics.bootstrap import Resampled, resample_together
from ensemble_uq_llm.statistics.significance import SIGNIFICANCE_LEVEL
from ensemble_uq_llm.statistics.superior_ability import superior_ability

NAMES: Final = tuple(score.name for score in SCORES)

WORLDS: Final = {
    "none better: all equally noisy": (1.0,) * 9,
    "none better: four equal, four worse": (1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0),
    "one better, seven equal": (1.0, 0.4, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "one better, seven worse": (1.0, 0.4, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0),
}
"""The noise of each score, the baseline first."""


def world(
    noise: tuple[float, ...], examples: int, rng: np.random.Generator, *, draws: int
) -> dict[str, Resampled[str]]:
    """Draw doubts, wrong answers and nine scores, and return what they are worth, by score."""
    doubt_N = rng.normal(size=examples)
    wrong_N = rng.random(examples) < 1 / (1 + np.exp(1.5 - doubt_N))
    families = {
        name: selective_family(doubt_N + level * rng.normal(size=examples), wrong_N)
        for name, level in zip(NAMES, noise, strict=True)
    }
    return resample_together(families, sizes=[examples], draws=draws, seed=int(rng.integers(2**32)))


def verdicts(numbers: dict[str, Resampled[str]]) -> dict[str, bool]:
    """Return by test whether it calls some score better than the baseline."""
    aurc_K = np.array([numbers[name].values[CRITERION] for name in NAMES])
    aurc_KD = np.stack([numbers[name].draws_D[CRITERION] for name in NAMES])
    gain_K, gain_KD = aurc_K[0] - aurc_K, aurc_KD[0] - aurc_KD
    best, draws = int(gain_K.argmax()), gain_KD.shape[1]
    plain = (1 + int((gain_KD[best] <= 0).sum())) / (1 + draws) if best else 1.0
    p_K = superior_ability(gain_K, gain_KD, examples=numbers[BASELINE].examples)
    return {
        "plain p of the best": plain < SIGNIFICANCE_LEVEL,
        "White's reality check": reality_check(gain_K, gain_KD) < SIGNIFICANCE_LEVEL,
        "Hansen's test": bool(p_K.min() < SIGNIFICANCE_LEVEL),
        "recommended": choose_score(numbers).really_better,
    }


def reality_check(gain_K: NDArray[np.float64], gain_KD: NDArray[np.float64]) -> float:
    """Return White's p-value: how often the largest centred gain of a draw reaches the largest gain."""
    luck_D = (gain_KD - gain_K[:, None]).max(axis=0)
    return (1 + int((luck_D >= gain_K.max()).sum())) / (1 + len(luck_D))


def main() -> None:
    """Simulate every world and print how often each test calls a score better."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    table = Table("scores", "plain p of the best", "White's reality check", "Hansen's test", "recommended", box=None)
    for title, noise in WORLDS.items():
        told = [verdicts(world(noise, arguments.examples, rng, draws=arguments.draws)) for _ in range(arguments.sets)]
        table.add_row(title, *(f"{np.mean([each[test] for each in told]):.1%}" for test in told[0]))
    Console().print(table)


if __name__ == "__main__":
    main()
