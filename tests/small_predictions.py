"""Small sets of predictions, drawn from a generator, for the tests of this folder."""

from dataclasses import replace

import numpy as np

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.data.bags.drawn_bags import draw_bags
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.predictions.left_out.left_out_cells import filled
from ensemble_uq_llm.predictions.record import Predictions


def predicted(
    n: int = 60, *, members: int = 3, classes: int = 2, seed: int = 0, noise: float = 1.0, truth: bool = False
) -> Predictions:
    """Members that see the true logits through noise of their own; labels drawn from the true probabilities."""
    rng = np.random.default_rng(seed)
    true_logits_NC = 1.5 * rng.normal(size=(n, classes))
    true_probs_NC = np.exp(true_logits_NC)
    true_probs_NC /= true_probs_NC.sum(axis=1, keepdims=True)
    labels = [int(rng.choice(classes, p=probs_C)) for probs_C in true_probs_NC]
    noise_MNC = noise * rng.normal(size=(members, n, classes))
    return Predictions(
        ids=tuple(f"q{i}" for i in range(n)),
        labels=tuple(labels),
        members=trained(range(42, 42 + members)),
        logits_MNC=(true_logits_NC + noise_MNC).astype(np.float32),
        true_probs_NC=true_probs_NC if truth else None,
    )


def unlabelled(predictions: Predictions, *, first: int | None = None) -> Predictions:
    """The same predictions without the labels of the first so many examples (all by default)."""
    hidden = len(predictions.ids) if first is None else first
    return Predictions(
        ids=predictions.ids,
        labels=(None,) * hidden + predictions.labels[hidden:],
        members=predictions.members,
        logits_MNC=predictions.logits_MNC,
        true_probs_NC=predictions.true_probs_NC,
    )


def left_out_of(predictions: Predictions, *, out: int, seed: int = 0) -> Predictions:
    """The same as training rows, each of which so many members left out."""
    seeds = tuple(member.seed for member in predictions.members)
    left_out_MN = draw_bags(BagDesign(seeds=seeds, out=out, seed=seed), len(predictions.ids)).left_out_MN
    return replace(predictions, logits_MNC=filled(predictions.logits_MNC, left_out_MN), left_out_MN=left_out_MN)
