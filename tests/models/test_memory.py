import errno
import gc
import weakref

import pytest
import torch
from torch import nn

from ensemble_uq_llm.errors import ModelError, TooLittleMemoryError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models import memory as memory_module
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import (
    PassBudget,
    bytes_per_token,
    is_out_of_memory,
    naming_memory,
    token_budget,
    within_memory,
)
from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.utils.lanes import side_by_side
from tiny_models import ALL_TARGETS, random_sequences, randomise, spec, tiny_llama

CPU = torch.device("cpu")


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
    with pytest.raises(TooLittleMemoryError, match="max_length: a pass of a single prompt of 40 tokens does not fit"):
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


def test_what_lanes_held_is_free_before_the_next_attempt():
    """Without waiting for the collector of circles, which does not know that the memory is full."""
    held, alive = [], []

    def lane(_):
        tensor = torch.zeros(3)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError

    def work(tokens):
        alive.append(sum(each() is not None for each in held))
        if tokens > 25:
            side_by_side(lane, range(4), device=CPU)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    gc.disable()
    try:
        with pytest.warns(UserWarning, match="out of memory"):
            within_memory(work, PassBudget(100), longest=1)
    finally:
        gc.enable()
        torch.set_num_threads(threads)
    assert alive == [0, 0, 0]


def test_the_errors_of_a_full_memory_are_known():
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator") as real:
        torch.empty(1 << 60)
    assert is_out_of_memory(real.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory", "model.safetensors"))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 5.05 GB, other allocations: 2.07 GB, max allowed: 7 GB).",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4 bytes. Error code 12 (Cannot allocate memory)",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes.",
        "std::bad_alloc",
        "unable to mmap 4096 bytes from file </model.safetensors>: Cannot allocate memory (12)",
        "can't start new thread",
    ],
)
def test_the_words_of_allocators_and_libraries_are_known(text):
    assert is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("expected scalar type Float"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("DefaultCPU"),
        OSError(errno.ENOSPC, "No space left on device"),
        ModelError("model_name: no folder 'out of memory'"),
    ],
    ids=str,
)
def test_other_errors_are_not_taken_for_a_full_memory(error):
    assert not is_out_of_memory(error)


def raised_from(origin, error, *, explicitly):
    try:
        try:
            raise origin
        except type(origin) as caught:
            raise error from (caught if explicitly else None)
    except type(error) as found:
        return found


@pytest.mark.parametrize("explicitly", [True, False])
def test_an_error_of_ours_that_was_made_from_one_is_one(explicitly):
    made = raised_from(MemoryError(), ModelError("the model cannot be loaded"), explicitly=explicitly)
    assert is_out_of_memory(made)
    made = raised_from(KeyError("weight"), ModelError("the model cannot be loaded"), explicitly=explicitly)
    assert not is_out_of_memory(made)


def test_what_does_not_fit_is_named_with_what_helps():
    @naming_memory("the members", "lower lora_r")
    def work(error):
        raise error

    with pytest.raises(TooLittleMemoryError) as named:
        work(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"))
    assert str(named.value) == (
        "no memory is left for the members (2.50 GiB more were wanted); lower lora_r, or use a device with more memory"
    )
    with pytest.raises(TooLittleMemoryError, match=r"^no memory is left for the members; lower"):
        work(MemoryError())


def test_what_is_named_already_and_what_is_no_full_memory_goes_through():
    with pytest.raises(TooLittleMemoryError, match=r"^the inner one$"), naming_memory("anything"):
        raise TooLittleMemoryError("the inner one")
    with pytest.raises(ZeroDivisionError, match="division"), naming_memory("anything"):
        raise ZeroDivisionError("division by zero")


def test_a_wanted_budget_is_taken_as_it_is():
    assert token_budget(tiny_llama(), wanted=77, training=True, device=CPU) == 77


@pytest.mark.parametrize("training", [True, False])
def test_a_budget_follows_the_free_memory_in_powers_of_two(training, monkeypatch):
    decoder = tiny_llama()
    cost = bytes_per_token(decoder, training=training)
    for free, expected in (
        (0, 256),
        (2 * 1024 * cost, 1024),
        (2 * 2047 * cost, 1024),
        (2 * 2048 * cost, 2048),
        (10**15, 8192),
    ):
        monkeypatch.setattr(memory_module, "free_bytes", lambda device, free=free: free)
        assert token_budget(decoder, wanted=None, training=training, device=CPU) == expected


def test_the_lanes_share_the_free_memory(monkeypatch):
    decoder = tiny_llama()
    free = 2 * 4096 * bytes_per_token(decoder, training=True)
    monkeypatch.setattr(memory_module, "free_bytes", lambda device: free)
    for lanes, expected in ((1, 4096), (2, 2048), (3, 1024), (4, 1024)):
        monkeypatch.setattr(memory_module, "lane_count", lambda device, lanes=lanes: lanes)
        assert token_budget(decoder, wanted=None, training=True, device=CPU) == expected


@pytest.mark.parametrize(("hidden", "expected"), [(32, 8192), (256, 8192), (576, 2048), (2048, 1024), (8192, 256)])
def test_wide_models_have_short_passes_on_a_cpu(hidden, expected, monkeypatch):
    monkeypatch.setattr(memory_module, "free_bytes", lambda device: 10**15)
    with torch.device("meta"):
        decoder = tiny_llama(hidden_size=hidden)
    assert token_budget(decoder, wanted=None, training=True, device=CPU) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ALL_TARGETS], ids=len)
def test_bytes_per_token_covers_what_autograd_keeps(targets, dtype):
    decoder = tiny_llama(num_hidden_layers=8, dtype=dtype)
    estimated = bytes_per_token(decoder, training=True)
    ensemble = randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder, targets=targets), members=trained((1,))))
    weights = {parameter.untyped_storage().data_ptr() for parameter in ensemble.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    pack = make_pack([(0, random_sequences(20, seed=2, lowest=30, highest=40))], device=CPU)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = ensemble(pack)
    assert logits.requires_grad
    measured = sum(kept.values()) / len(pack.tokens_T)
    assert measured < estimated < 2.5 * measured


def test_bytes_per_token_grows_with_layers_and_dtype():
    def cost(training: bool = True, dtype: torch.dtype = torch.float32, **overrides) -> int:
        decoder: nn.Module = tiny_llama(dtype=dtype, **overrides)
        return bytes_per_token(decoder, training=training)

    assert cost(num_hidden_layers=6) == 3 * cost(num_hidden_layers=2)
    assert cost(dtype=torch.bfloat16) * 2 == cost()
    assert cost(training=False, num_hidden_layers=6) < cost(num_hidden_layers=6)
    assert cost(hidden_size=64) > cost()
