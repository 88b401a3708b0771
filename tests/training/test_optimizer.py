import math

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from transformers import get_linear_schedule_with_warmup

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.training.optimizer import clip_per_member, make_optimizer

SHAPES = ((3, 4, 5), (3, 6, 4), (3, 2, 6))


def stacked_with_gradients(seed: int) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return parameters


def slices(parameters: list[nn.Parameter], member: int) -> list[nn.Parameter]:
    own = [nn.Parameter(parameter[member].detach().clone()) for parameter in parameters]
    for parameter, each in zip(parameters, own, strict=True):
        each.grad = parameter.grad[member].clone()
    return own


@pytest.mark.parametrize("max_norm", [0.1, 3.0, 1000.0])
def test_clipping_is_that_of_each_member_alone(max_norm: float) -> None:
    stacked = stacked_with_gradients(0)
    stacked[0].grad[1] *= 100
    alone = [slices(stacked, member) for member in range(3)]
    norms = clip_per_member(stacked, max_norm)
    for member, own in enumerate(alone):
        torch.testing.assert_close(norms[member], clip_grad_norm_(own, max_norm))
        for parameter, each in zip(stacked, own, strict=True):
            torch.testing.assert_close(parameter.grad[member], each.grad)


def test_clipping_off_leaves_gradients_alone() -> None:
    stacked, untouched = stacked_with_gradients(0), stacked_with_gradients(0)
    clip_per_member(stacked, 0.0)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(stacked, untouched, strict=True))


def test_an_infinite_gradient_spoils_only_its_member() -> None:
    stacked = stacked_with_gradients(0)
    stacked[1].grad[2, 0, 0] = math.inf
    clip_per_member(stacked, 1.0)
    assert all(parameter.grad[:2].isfinite().all() for parameter in stacked)
    assert not all(parameter.grad[2].isfinite().all() for parameter in stacked)


def test_stacked_adamw_is_bit_equal_to_one_adamw_a_member() -> None:
    config = Config(learning_rate=0.01, warmup_steps=3, weight_decay=0.1)
    stacked = stacked_with_gradients(0)
    alone = [slices(stacked, member) for member in range(3)]
    joint = make_optimizer(stacked, config, steps=20)
    separate = [make_optimizer(own, config, steps=20) for own in alone]
    for step in range(20):
        gradients = stacked_with_gradients(step + 1)
        for parameter, source in zip(stacked, gradients, strict=True):
            parameter.grad = source.grad
        for optimizer, schedule in (joint, *separate):
            if optimizer is not joint[0]:
                member = [each[0] for each in separate].index(optimizer)
                for each, source in zip(alone[member], gradients, strict=True):
                    each.grad = source.grad[member].clone()
            optimizer.step()
            schedule.step()
    for member, own in enumerate(alone):
        assert all(torch.equal(parameter[member], each) for parameter, each in zip(stacked, own, strict=True))


def test_the_schedule_is_that_of_transformers() -> None:
    config = Config(learning_rate=0.01, warmup_steps=4)
    parameter = nn.Parameter(torch.zeros(1, 1, 1))
    optimizer, schedule = make_optimizer([parameter], config, steps=10)
    peer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.01)
    peer_schedule = get_linear_schedule_with_warmup(peer, 4, 10)
    rates = []
    for _ in range(10):
        rates.append((schedule.get_last_lr()[0], peer_schedule.get_last_lr()[0]))
        optimizer.step()
        peer.step()
        schedule.step()
        peer_schedule.step()
    assert all(ours == theirs for ours, theirs in rates)
    assert max(ours for ours, _ in rates) == 0.01
