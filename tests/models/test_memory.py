import gc
import weakref

import pytest
import torch

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.models.memory import PassBudget, is_out_of_memory, within_memory


def needs(memory, tried):
    """Work that fits in `memory` tokens a pass."""

    def work(tokens):
        tried.append(tokens)
        if tokens > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    return work


def test_work_that_fits_is_done_once():
    budget, tried = PassBudget(100), []
    assert within_memory(needs(100, tried), budget, longest=7) == "done"
    assert (tried, budget.tokens) == ([100], 100)


def test_the_budget_is_halved_until_the_work_fits_and_stays_small():
    budget, tried = PassBudget(100), []
    with pytest.warns(UserWarning, match=r"passes of \d+ tokens instead of \d+ .* \(tokens_per_pass") as told:
        assert within_memory(needs(30, tried), budget, longest=7) == "done"
    assert ["instead of 100" in str(told[0].message), "instead of 50" in str(told[1].message)] == [True, True]
    assert (tried, budget.tokens) == ([100, 50, 25], 25)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_below_one_sequence_a_pass_cannot_be_cut():
    tried = []
    with pytest.raises(ConfigError, match="max_length: a pass of a single prompt of 40 tokens does not fit the memory"):
        within_memory(needs(1, tried), PassBudget(100), longest=40)
    assert tried == [100, 50, 40]


def test_other_errors_are_not_answered():
    def broken(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        within_memory(broken, PassBudget(100), longest=1)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_what_the_failed_attempt_held_is_free_before_the_next():
    held, alive = [], []

    def work(tokens):
        gc.collect()
        alive.append(sum(each() is not None for each in held))
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        if tokens > 25:
            raise torch.OutOfMemoryError
        return tensor.sum()

    within_memory(work, PassBudget(100), longest=1)
    assert alive == [0, 0, 0]


def test_the_errors_of_a_full_memory_are_known():
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator") as real:
        torch.empty(1 << 60)
    assert is_out_of_memory(real.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("expected scalar type Float"))
    assert not is_out_of_memory(ValueError("DefaultCPU"))
