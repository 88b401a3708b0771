"""Memory: how many tokens a pass may have, and what happens when it does not fit after all."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.device import free_bytes
from ensemble_uq_llm.utils.lanes import lane_count

Result = TypeVar("Result")

MOST_TOKENS = {"cpu": 8_192, "cuda": 32_768}
"""Tokens of a pass that keep the machine busy; more gains nothing."""

CACHED_ELEMENTS = 1 << 21
"""A layer's hidden states should not be larger on a CPU: they would leave its caches between two operations."""


def token_budget(decoder: PreTrainedModel, *, wanted: int | None, training: bool, device: torch.device) -> int:
    """Return the tokens of a pass: what is wanted, or else what half of the free memory holds and is of use.

    On a CPU as many passes as it has lanes share the memory, and wide models have short passes.
    """
    if wanted is not None:
        return wanted
    fits = free_bytes(device) // 2 // bytes_per_token(decoder, training=training) // lane_count(device)
    if device.type == "cpu":
        fits = min(fits, CACHED_ELEMENTS // decoder.config.get_text_config().hidden_size)
    # A power of two, so that small changes of the free memory do not change a run's rounding.
    return min(MOST_TOKENS.get(device.type, MOST_TOKENS["cpu"]), 1 << max(8, int(fits).bit_length() - 1))


def bytes_per_token(decoder: PreTrainedModel, *, training: bool) -> int:
    """Estimate the activation memory that a pass takes per token, in bytes.

    Counted over the tensors that transformers' eager layers keep for the backward: about 18 of the hidden size
    and 5 of the MLP's in each layer, in the base's dtype; without gradients one layer's worth is alive at a time.
    """
    config = decoder.config.get_text_config()
    width: Tensor = next(decoder.parameters())
    per_layer = (18 * config.hidden_size + 5 * config.intermediate_size) * width.element_size()
    return per_layer * (config.num_hidden_layers if training else 2)


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
