import pytest
import torch

from ensemble_uq_llm.utils.device import choose_device, describe_device, free_bytes


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are so many GPUs."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize(
    ("count", "wanted", "found"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (1, "auto", "cuda:0"),
        (1, "cpu", "cpu"),
        (1, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_choice(gpus, count, wanted, found):
    gpus(count)
    assert choose_device(wanted) == torch.device(found)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_where_there_is_none(gpus, wanted):
    gpus(0)
    with pytest.raises(ValueError, match=rf"device: '{wanted}' asked for, and PyTorch finds no GPU here; use `auto`"):
        choose_device(wanted)


def test_a_gpu_beyond_those_that_are_there(gpus):
    gpus(2)
    with pytest.raises(ValueError, match="'cuda:2' asked for, and PyTorch finds only 2 here, counted from cuda:0"):
        choose_device("cuda:2")


def test_the_cpu_in_numbers_and_words():
    cpu = torch.device("cpu")
    assert free_bytes(cpu) > 1 << 20
    assert describe_device(cpu) == f"CPU, {torch.get_num_threads()} threads"


@pytest.mark.cuda
def test_the_gpu_in_numbers_and_words():
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    device = choose_device("auto")
    assert free_bytes(device) > 1 << 20
    assert describe_device(device) == torch.cuda.get_device_name(0)
