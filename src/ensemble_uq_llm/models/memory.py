"""Memory: how many tokens a pass may have, and what happens when it does not fit after all.

Work that is cut into passes is done again in smaller ones (`within_memory`). What cannot be cut, such as the base or
the members' weights, is told as an error that names what to lower (`naming_memory`).
"""

import errno
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import EnsembleUQError, TooLittleMemoryError
from ensemble_uq_llm.utils.device import free_bytes
from ensemble_uq_llm.utils.lanes import lane_count

Result = TypeVar("Result")

MOST_TOKENS = {"cpu": 8_192, "cuda": 32_768}
"""Tokens of a pass that keep the machine busy; more gains nothing."""

CACHED_ELEMENTS = 1 << 21
"""A layer's hidden states should not be larger on a CPU: they would leave its caches between two operations."""

FEWER_MEMBERS: Final = "train fewer members at a time (num_ensemble_models; raised later, it trains the others too)"
"""Advice: a member is its seed, so members that are trained one after the other are those of one training."""

_FULL: Final = re.compile(
    r"out of memory|allocate memory|not enough memory|unable to mmap|can't start new thread|bad_alloc"
    r"|(?:CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_\w*ALLOC\w*_FAILED"
)
"""How allocators and libraries say it that raise no error of a kind of its own."""


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
        TooLittleMemoryError: the memory runs out although every sequence has a pass of its own.
    """
    while True:
        try:
            return work(budget.tokens)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Only here, without the error, are its frames gone and with them the tensors of the failed pass.
        _shrink(budget, longest)


@contextmanager
def naming_memory(what: str, *advice: str) -> Iterator[None]:
    """Wherever it is open, also as a decorator, a full memory is an error that says what did not fit and what helps.

    Raises:
        TooLittleMemoryError: instead of the error of the allocator or the library that ran out of memory.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TooLittleMemoryError) or not is_out_of_memory(error):
            raise
        remedies = ", ".join([*advice, "or use a device with more memory"])
        raise TooLittleMemoryError(f"no memory is left for {what}{_wanted(error)}; {remedies}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says, in whatever words, that the memory of a GPU or of the machine is full.

    An error of ours is one if what it was made from is.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if not isinstance(error, EnsembleUQError) and _FULL.search(str(error)):
        return True
    origin = error.__cause__ or (error.__context__ if isinstance(error, EnsembleUQError) else None)
    return origin is not None and is_out_of_memory(origin)


def _wanted(error: BaseException) -> str:
    """Say how much more was wanted, where the error tells it."""
    amount = re.search(r"[Aa]llocate ([\d.]+ ?(?:bytes|[KMGT]i?B))", str(error))
    return "" if amount is None else f" ({amount.group(1)} more were wanted)"


def _shrink(budget: PassBudget, longest: int) -> None:
    if budget.tokens <= longest:
        raise TooLittleMemoryError(
            f"max_length: a pass of a single prompt of {longest} tokens does not fit the memory; lower max_length "
            f"or lora_r, set use_bf16: true, {FEWER_MEMBERS}, or use a device with more memory"
        )
    before, budget.tokens = budget.tokens, max(longest, budget.tokens // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # blocks cut for the large pass would not serve the smaller ones
    warnings.warn(
        f"out of memory: passes of {budget.tokens:,} tokens instead of {before:,} from here on "
        f"(tokens_per_pass: {budget.tokens} gives the same numbers again)",
        stacklevel=3,
    )
