"""Which device to use, and how much of its memory is free."""

import warnings

import psutil
import torch

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.text import counted


def choose_device(wanted: str) -> torch.device:
    """Return the device named by `wanted`; `auto` is the first GPU, or else the CPU.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device("cuda:0" if wanted == "cuda" else wanted)
    present = torch.cuda.device_count()
    if device.type == "cuda" and device.index >= present:
        found = f"only {present} here, counted from cuda:0" if present else "no GPU here"
        raise ValueError(f"device: {wanted!r} asked for, and PyTorch finds {found}; use `auto` or `cpu`")
    return device


def devices_of(wanted: str, *, num_gpus: int) -> list[torch.device]:
    """Return the devices that a configuration asks for: `num_gpus` of them where there are, or else one.

    More GPUs than there are is a warning, not an error.

    Raises:
        ConfigError: a GPU is named that is not there.
    """
    wanted = "cpu" if wanted == "auto" and num_gpus == 0 else wanted
    try:
        first = choose_device(wanted)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    present = torch.cuda.device_count() if first.type == "cuda" else 0
    if num_gpus > max(present, 1):
        warnings.warn(f"num_gpus: {num_gpus} asked for, {present} here; using {describe_device(first)}", stacklevel=2)
    spreads = first.type == "cuda" and wanted in ("auto", "cuda")
    count = min(num_gpus, present) if spreads else 1
    return [torch.device("cuda", index) for index in range(count)] if count > 1 else [first]


def free_bytes(device: torch.device) -> int:
    """Return the free memory of the device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def describe_device(device: torch.device) -> str:
    """Return the device in words, for the run's record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {counted(torch.get_num_threads(), 'thread')}"
