import pytest
import torch

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.device import choose_device, describe_device, devices_of, free_bytes
from ensemble_uq_llm.utils.text import counted


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are so many GPUs."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")

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
    assert describe_device(cpu) == f"CPU, {counted(torch.get_num_threads(), 'thread')}"


@pytest.mark.cuda
def test_the_gpu_in_numbers_and_words():
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    device = choose_device("auto")
    assert free_bytes(device) > 1 << 20
    assert describe_device(device) == torch.cuda.get_device_name(0)


def devices(**keys) -> list[str]:
    return [str(device) for device in devices_of(**{"wanted": "auto", "num_gpus": 1} | keys)]


@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize("num_gpus", [0, 1])
def test_the_cpu_is_taken_without_a_word(gpus, device, num_gpus):
    gpus(0)
    assert devices(wanted=device, num_gpus=num_gpus) == ["cpu"]


@pytest.mark.parametrize(
    ("device", "num_gpus", "expected"),
    [
        ("auto", 1, ["cuda:0"]),
        ("auto", 2, ["cuda:0", "cuda:1"]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:2", 3, ["cuda:2"]),
        ("auto", 0, ["cpu"]),
        ("cpu", 1, ["cpu"]),
    ],
)
def test_so_many_gpus_are_taken_as_are_asked_for(gpus, device, num_gpus, expected):
    gpus(3)
    assert devices(wanted=device, num_gpus=num_gpus) == expected


@pytest.mark.parametrize(("present", "expected"), [(0, ["cpu"]), (2, ["cuda:0", "cuda:1"])])
def test_more_gpus_than_there_are_is_a_warning(gpus, present, expected):
    gpus(present)
    with pytest.warns(
        UserWarning, match=f"num_gpus: 4 asked for, {present} here; using {'a GPU' if present else 'CPU'}"
    ):
        assert devices(num_gpus=4) == expected


@pytest.mark.parametrize(
    ("present", "device", "found"),
    [(0, "cuda", "no GPU here"), (0, "cuda:1", "no GPU here"), (1, "cuda:1", "only 1 here, counted from cuda:0")],
)
def test_a_gpu_that_is_not_there_is_refused(gpus, present, device, found):
    gpus(present)
    with pytest.raises(
        ConfigError, match=f"device: '{device}' asked for, and PyTorch finds {found}; use `auto` or `cpu`"
    ):
        devices(wanted=device)
