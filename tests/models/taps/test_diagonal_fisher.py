"""The diagonal Fisher information against its definition, sequence by sequence and class by class."""

import numpy as np
import pytest
import torch

from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.models.taps import diagonal_fisher as module
from ensemble_uq_llm.models.taps.diagonal_fisher import diagonal_fisher, evenly_spread
from tiny_models import assert_close, random_sequences, tiny_ensemble

SEQUENCES = random_sequences(9, seed=3)
MEMBER = 1


def by_definition(ensemble, rows, logits_of) -> dict[str, torch.Tensor]:
    stacks = dict(ensemble.named_stacks())
    total = {name: torch.zeros(stack.shape[1:]) for name, stack in stacks.items()}
    for row in rows:
        pack = make_pack([(MEMBER, [SEQUENCES[row]])], device=torch.device("cpu"))
        log_probs_C = logits_of(ensemble(pack), np.array([row])).log_softmax(dim=1)[0]
        for log_prob in log_probs_C:
            gradients = torch.autograd.grad(log_prob, list(stacks.values()), retain_graph=True)
            for name, gradient in zip(stacks, gradients, strict=True):
                total[name] += log_prob.detach().exp() * gradient[MEMBER].square() / len(rows)
    return total


def everything(logits_BC, _rows):
    return logits_BC


def lacking_some(logits_BC, rows):
    """Odd rows lack the last class."""
    beyond_BC = (torch.arange(logits_BC.shape[1]) == logits_BC.shape[1] - 1) & torch.from_numpy(rows % 2 == 1)[:, None]
    return logits_BC.masked_fill(beyond_BC, torch.finfo(torch.float32).min)


@pytest.mark.parametrize("logits_of", [everything, lacking_some])
def test_it_is_what_it_is_defined_as(logits_of):
    ensemble = tiny_ensemble(seeds=(42, 43))
    found = diagonal_fisher(ensemble, MEMBER, SEQUENCES, budget=60, logits_of=logits_of)
    expected = by_definition(ensemble, range(len(SEQUENCES)), logits_of)
    assert found.keys() == expected.keys()
    assert any(each.any() for each in expected.values())
    for name, each in expected.items():
        assert_close(found[name], each, relative=1e-4)
    assert all(parameter.grad is None for parameter in ensemble.trainable())


def test_of_many_sequences_some_are_taken(monkeypatch):
    monkeypatch.setattr(module, "BACKWARDS", 6)
    monkeypatch.setattr(module, "FEWEST", 2)
    ensemble = tiny_ensemble(seeds=(42, 43))
    rows = evenly_spread(9, at_most=6 // ensemble.head.width)
    assert 2 <= len(rows) < 9
    found = diagonal_fisher(ensemble, MEMBER, SEQUENCES, budget=60, logits_of=lacking_some)
    for name, each in by_definition(ensemble, rows, lacking_some).items():
        assert_close(found[name], each, relative=1e-4)


def test_rows_are_evenly_spread():
    assert evenly_spread(9, at_most=3).tolist() == [0, 4, 8]
    assert evenly_spread(3, at_most=5).tolist() == [0, 1, 2]
