"""Which device to use, and how much of its memory is free."""

import psutil
import torch


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


def free_bytes(device: torch.device) -> int:
    """Return the free memory of the device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def describe_device(device: torch.device) -> str:
    """Return the device in words, for the run's record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
