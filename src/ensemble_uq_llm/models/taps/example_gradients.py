"""Per-example gradients: what each sequence alone says about one member's adapters and head.

The backward of stacked adapters sums over spans. So a pass in which every sequence is its own span, over a stack in
which the member stands once for every sequence, returns the gradient of every sequence apart, at the price of an
ordinary backward. Dropout is off. The gradients of a batch's sequences add up to the batch's gradient, to rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, within_memory
from ensemble_uq_llm.models.pack import Tokens, make_pack
from ensemble_uq_llm.models.passes import Rows, cut_to_budget
from ensemble_uq_llm.utils.device import free_bytes

SHARE_OF_MEMORY = 8
"""The gradients of a pass's sequences may take this fraction of the free memory, as a divisor."""

ValueOf = Callable[[Tensor, Rows], Tensor]
"""From the logits [B, C] of some sequences, and which they are, the values [B] whose gradients are wanted.

The value of a sequence may depend on its own logits alone.
"""


@dataclass(frozen=True, slots=True)
class ExampleGradients:
    """The gradients of the sequences `rows`: by PEFT's name of a tensor, [B, ...] with a row's gradient at its place.

    `values_B` are the values themselves.
    """

    rows: Rows
    values_B: Tensor
    by_name: dict[str, Tensor]


def example_gradients(
    ensemble: StackedEnsemble, member: int, sequences: Sequence[Tokens], value_of: ValueOf, *, budget: int
) -> Iterator[ExampleGradients]:
    """Yield, some sequences at a time and in their order, each one's gradient of all that `member` trains.

    A pass has `budget` tokens at most, and no more sequences than the memory holds gradients of. The ensemble and its
    own gradients are left as they are. No other pass may be under way meanwhile: the stacks are exchanged.

    Raises:
        TooLittleMemoryError: not even a pass of one sequence fits the memory.
    """
    lengths_N = np.array([len(tokens) for tokens in sequences], dtype=np.int64)
    at_most = _sequences_at_most(ensemble)
    passes = PassBudget(budget)
    start = 0
    while start < len(sequences):
        waiting = np.arange(start, min(start + at_most, len(sequences)))

        def one_pass(tokens: int, waiting: Rows = waiting) -> ExampleGradients:
            return _of_pass(ensemble, member, sequences, _first_cut(waiting, lengths_N, tokens), value_of)

        found = within_memory(one_pass, passes, longest=int(lengths_N[waiting].max()))
        yield found
        start += len(found.rows)


def _first_cut(rows: Rows, lengths_N: np.ndarray, tokens: int) -> Rows:
    return cut_to_budget(rows, lengths_N, budget=tokens)[0]


def _of_pass(
    ensemble: StackedEnsemble, member: int, sequences: Sequence[Tokens], rows: Rows, value_of: ValueOf
) -> ExampleGradients:
    names = _names_in_module(ensemble)
    device = next(ensemble.parameters()).device
    copies = {
        name: stack.detach()[member].expand(len(rows), *stack.shape[1:]).clone().requires_grad_()
        for name, stack in ensemble.named_stacks()
    }
    pack = make_pack([(place, [sequences[row]]) for place, row in enumerate(rows)], device=device)
    exchanged = {names[name]: copy for name, copy in copies.items()}
    with torch.enable_grad():
        values_B = value_of(functional_call(ensemble, exchanged, (pack,)), rows)
        gradients = torch.autograd.grad(values_B.sum(), list(copies.values()))
    return ExampleGradients(rows, values_B.detach(), dict(zip(copies, gradients, strict=True)))


def _names_in_module(ensemble: StackedEnsemble) -> dict[str, str]:
    """Return where each stack lies in the module, by PEFT's name of it."""
    places = {id(parameter): name for name, parameter in nn.Module.named_parameters(ensemble)}
    return {name: places[id(stack)] for name, stack in ensemble.named_stacks()}


def _sequences_at_most(ensemble: StackedEnsemble) -> int:
    """Return of how many sequences the memory holds a copy of the weights, and their gradients."""
    stacks = ensemble.trainable()
    bytes_of_one = 2 * sum(stack[0].numel() * stack.element_size() for stack in stacks)
    return max(1, free_bytes(stacks[0].device) // SHARE_OF_MEMORY // bytes_of_one)
