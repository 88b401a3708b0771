"""How many tokens a pass may have, and what happens when it does not fit the memory after all."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from ensemble_uq_llm.errors import ConfigError

Result = TypeVar("Result")


@dataclass(slots=True)
class PassBudget:
    """The tokens that a pass may have; it only ever shrinks."""

    tokens: int


def within_memory(work: Callable[[int], Result], budget: PassBudget, *, longest: int) -> Result:
    """Do work in passes of `budget.tokens`, or, where the memory runs out, all of it again in smaller ones.

    What comes out is what the smaller budget gives from the start. The budget stays small for what follows.

    Args:
        work: takes the tokens of a pass; it must undo what an attempt before it left half done.
        budget: halved as often as needed.
        longest: tokens of the longest sequence. A pass cannot be cut below one sequence.

    Raises:
        ConfigError: the memory runs out although every sequence has a pass of its own.
    """
    while True:
        try:
            return work(budget.tokens)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, without the error, are its frames gone and with them the tensors of the failed pass.
        _shrink(budget, longest)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a tensor did not fit the memory of a GPU or of the machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _shrink(budget: PassBudget, longest: int) -> None:
    if budget.tokens <= longest:
        raise ConfigError(
            f"max_length: a pass of a single prompt of {longest} tokens does not fit the memory; lower max_length, "
            "set use_bf16: true, or use a device with more memory"
        )
    before, budget.tokens = budget.tokens, max(longest, budget.tokens // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # blocks cut for the large pass would not serve the smaller ones
    warnings.warn(
        f"out of memory: passes of {budget.tokens:,} tokens instead of {before:,} from here on "
        f"(tokens_per_pass: {budget.tokens} gives the same numbers again)",
        stacklevel=3,
    )
