"""A training job small enough for tests: settings, examples, and a stack over the tiny base."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.training.epochs import TrainingData, train_epochs
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.from_config import lora_settings
from ensemble_uq_llm.training.outcomes import MemberOutcome
from ensemble_uq_llm.training.state import TrainingState, new_state
from tiny_models import random_sequences

SEEDS = (42, 7, 1234)


def config(**changes: object) -> Config:
    settings = {
        "batch_size": 4, "gradient_accumulation_steps": 2, "learning_rate": 3e-3, "num_epochs": 4, "warmup_steps": 5,
        "max_grad_norm": 0.5, "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "use_bf16": False,
        "lora_target_modules": ("q_proj", "v_proj", "o_proj", "down_proj"), "seeds": SEEDS, "tokens_per_pass": 300,
    }  # fmt: skip
    return Config(**(settings | changes))


def examples(count: int, seed: int = 0) -> TokenizedExamples:
    sequences = random_sequences(count, seed=seed)
    return TokenizedExamples(
        ids=tuple(map(str, range(count))),
        tokens_T=np.concatenate(sequences),
        lengths_N=np.array([len(each) for each in sequences]),
        labels_N=np.array([int(each.sum()) % 2 for each in sequences]),
        is_cut_N=np.zeros(count, bool),
    )


DATA = TrainingData(train=examples(44), validation=examples(11, seed=1))


def answer_tokens(settings: Config) -> tuple[int, ...] | None:
    """The answer head's tokens, any that there are."""
    return (7, 11) if settings.head == "answer" else None


def stack(base: Path, settings: Config, seeds: Sequence[int]) -> StackedEnsemble:
    decoder = load_decoder(base, device=torch.device("cpu"), bf16=settings.use_bf16)
    return StackedEnsemble(
        decoder,
        spec=spec_of(
            lora_settings(settings),
            decoder,
            classes=settings.num_labels,
            head_kind=head_kind_of(base, answer_tokens(settings), bf16=settings.use_bf16),
        ),
        members=trained(seeds),
    )


def fresh_state(ensemble: StackedEnsemble, settings: Config, data: TrainingData = DATA) -> TrainingState:
    return new_state(ensemble, settings, steps=settings.optimizer_steps(len(data.train)))


def train_all(
    ensemble: StackedEnsemble, data: TrainingData, settings: Config, *, listeners: Sequence[Listener] = ()
) -> list[MemberOutcome]:
    state = fresh_state(ensemble, settings, data)
    train_epochs(state, data, settings, listeners=listeners)
    return state.outcomes


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


def trained_stack(base: Path, settings: Config, seeds: Sequence[int] = SEEDS) -> StackedEnsemble:
    """Members after their training."""
    ensemble = stack(base, settings, seeds)
    train_all(ensemble, DATA, settings)
    return ensemble


def member_weights(ensemble: StackedEnsemble, index: int) -> dict[str, torch.Tensor]:
    """A member's weights as they are now."""
    return {name: each[index].detach().clone() for name, each in ensemble.named_stacks()}
