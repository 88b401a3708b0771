"""Small runs of known making, to stand beside each other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensemble_uq_llm.evaluation.beside.compared_run import ComparedRun
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.record import Predictions


def seen(
    logits_NC: np.ndarray, labels: Sequence[int | None], *, noise: float, members: int, rng: np.random.Generator,
    first: str = "q",
) -> Predictions:  # fmt: skip
    """Members that see these true logits through noise of their own."""
    noise_MNC = noise * rng.normal(size=(members, *logits_NC.shape))
    return Predictions(
        ids=tuple(f"{first}{i}" for i in range(len(logits_NC))),
        labels=tuple(labels),
        members=trained(range(members)),
        logits_MNC=logits_NC + noise_MNC,
    )


def runs(
    *noises: float, n: int = 120, members: int = 3, seed: int = 0, shifted: int = 0, split: int = 0
) -> list[ComparedRun]:
    """Runs on the same questions, one for each noise; with a shifted set and a calibration split of so many rows."""
    rng = np.random.default_rng(seed)

    def world(size: int, width: float) -> tuple[np.ndarray, list[int]]:
        logits_NC = width * rng.normal(size=(size, 2))
        return logits_NC, (logits_NC + rng.gumbel(size=logits_NC.shape)).argmax(axis=1).tolist()

    own, far, held_out = world(n, 1.5), world(shifted, 0.5), world(split, 1.5)
    found = []
    for at, noise in enumerate(noises):
        how = {"noise": noise, "members": members, "rng": rng}
        sets = {"far": seen(*far, **how, first="far")} if shifted else {}
        run = ComparedRun.of(f"run {at}", seen(*own, **how), shifted=sets)
        found.append(replace(run, split=seen(*held_out, **how, first="held out") if split else None))
    return found
