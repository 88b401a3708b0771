import torch
from torch import nn
from transformers import get_linear_schedule_with_warmup

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.training.state import make_optimizer
from small_training import slices, stacked_with_gradients


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
