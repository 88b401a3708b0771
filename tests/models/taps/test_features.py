"""The features of a pass, which the heads turn into the logits of prediction."""

import pytest
import torch

from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.pack import Span
from ensemble_uq_llm.models.taps.features import member_features
from tiny_models import random_sequences, tiny_ensemble

SEQUENCES = random_sequences(7, seed=5)


@pytest.mark.parametrize(("family", "layers"), [("llama", None), ("llama", (1,)), ("gemma2", None)])
@pytest.mark.parametrize("budget", [40, 400])
def test_the_heads_turn_them_into_the_logits_of_prediction(family, layers, budget):
    ensemble = tiny_ensemble(family, layers=layers)
    features_MNH = member_features(ensemble, SEQUENCES, budget=budget)
    assert features_MNH.shape == (3, 7, 32)
    expected_MNC = member_logits(ensemble, SEQUENCES, budget=budget)
    for member, features_NH in enumerate(features_MNH):
        logits_NC = ensemble.head(torch.from_numpy(features_NH), (Span(member, 0, len(SEQUENCES)),)).detach()
        torch.testing.assert_close(logits_NC, torch.from_numpy(expected_MNC[member]))
    assert abs(features_MNH[0] - features_MNH[1]).max() > 0.01


def test_no_examples_have_no_features():
    assert member_features(tiny_ensemble(), [], budget=100).shape == (3, 0, 32)
