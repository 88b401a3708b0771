"""The tensors of an adapter: floating-point, finite, and nothing else."""

import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.models.lora.adapter_tensors import PREFIX, tensors_of

PATH = Path("theirs/adapter_model.safetensors")
NAME = f"{PREFIX}model.x"


def read(tensor: Tensor) -> Tensor:
    return tensors_of(save({NAME: tensor}), PATH)["model.x"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_numbers_are_read_in_float32(dtype):
    tensor = torch.tensor([[1.5, -2.0]], dtype=dtype)
    assert torch.equal(read(tensor), tensor.float())
    assert read(tensor).dtype == torch.float32


@pytest.mark.parametrize(
    "dtype",
    [torch.bool, torch.int8, torch.int64, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64],
    ids=str,
)
def test_other_types_are_refused(dtype):
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(IntegrityError, match=f"theirs/adapter_model.safetensors: '{NAME}' is of type {kind}; only"):
        read(torch.ones(2, 2).to(dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(IntegrityError, match=f"'{NAME}' holds NaN or infinity"):
        read(torch.tensor([[1.0, value]]))


def test_what_float32_cannot_hold_is_refused():
    with pytest.raises(IntegrityError, match="holds NaN or infinity"):
        read(torch.tensor([[1e300]], dtype=torch.float64))


def test_an_empty_tensor_is_refused():
    with pytest.raises(IntegrityError, match=r"has shape \(0, 4\), so it is empty"):
        read(torch.ones(0, 4))


def test_names_that_are_not_of_peft_are_refused():
    with pytest.raises(IntegrityError, match=r"unexpected tensor 'xxx.*; PEFT's begin with 'base_model\.model\.'"):
        tensors_of(save({"x" * 5000: torch.ones(1)}), PATH)


@pytest.mark.parametrize("body", [b"", b"PK" * 50, save({NAME: torch.ones(4)})[:-1], struct.pack("<Q", 2**63) + b"{}"])
def test_what_is_no_safetensors_file_is_refused(body):
    with pytest.raises(IntegrityError, match=r"^theirs/adapter_model\.safetensors: not a readable safetensors file: "):
        tensors_of(body, PATH)
