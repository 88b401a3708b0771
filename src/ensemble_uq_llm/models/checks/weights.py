"""A base's safetensors files, by their headers alone: all there, floating-point, and of the shapes that the model has.

Read before any weight is loaded, so that a wrong size is named instead of filling the memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.strict_json import read_strict_json
from ensemble_uq_llm.models.gguf.gguf_decoder import need_gguf
from ensemble_uq_llm.models.gguf.gguf_header import is_gguf, read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_tensors import check_gguf_tensors
from ensemble_uq_llm.utils.text import counted, listed

WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
MOST_SHARDS: Final = 10_000
LARGEST_HEADER: Final = 16 * 2**20
FLOATING: Final = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """What a file's header says of a tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def check_weights(folder: Path, skeleton: PreTrainedModel) -> None:
    """Compare the files' headers with a model on the meta device; of a GGUF file its table of tensors.

    Raises:
        ModelError: a file that is missing or torn, a weight in a format of a quantised model, or of another shape.
    """
    if is_gguf(folder):
        need_gguf()
        check_gguf_tensors(read_gguf_header(folder), skeleton)
        return
    wanted = {name: tuple(parameter.shape) for name, parameter in skeleton.named_parameters()}
    prefix = f"{skeleton.base_model_prefix}."
    stored: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        for tensor in _stored(file):
            name = tensor.name.removeprefix(prefix)
            stored[name] = tensor.shape
            if ("weight" in name or name in wanted) and tensor.dtype not in FLOATING:
                raise ModelError(
                    f"model_name: {tensor.name} in {file} is of type {tensor.dtype}, so quantised, which is not "
                    "supported; name the model that it was quantised from, in float32, float16 or bfloat16"
                )
            shape = wanted.get(name, tensor.shape)
            if tensor.shape != shape:
                raise ModelError(
                    f"model_name: {tensor.name} in {file} has shape {tensor.shape}, and by the sizes in config.json it "
                    f"should have {shape}; the two files are not of one model"
                )

    # By numbers, because some types rename their tensors on loading. Weights that are not there would be made up in
    # memory before they are missed, and a config.json may speak of any number of layers.
    if sum(map(math.prod, wanted.values())) > sum(map(math.prod, stored.values())):
        missing = sorted(wanted.keys() - stored.keys())
        raise ModelError(f"model_name: {folder} lacks weights: {', '.join(missing[:3])} ({len(missing)} in all)")


def weight_files(folder: Path) -> list[Path]:
    """Return the files that transformers reads: one, such as a GGUF file, or the shards that an index names.

    Raises:
        ModelError: there are none, or the index names files that are not there.
    """
    if is_gguf(folder):
        return [folder]
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        others = sorted(path.name for path in folder.glob("*.safetensors"))
        found = f" (found {listed(others, most=3)}; transformers reads no other names)" if others else ""
        raise ModelError(
            f"model_name: no {WEIGHTS} and no {INDEX} in {folder}{found}; weights in pickle files are never read"
        )
    shards = _shards(folder / INDEX)
    if len(shards) > MOST_SHARDS:
        raise ModelError(f"model_name: {folder / INDEX} names {len(shards):,} files, over {MOST_SHARDS:,}")
    if missing := [name for name in shards if not (folder / name).is_file()]:
        raise ModelError(
            f"model_name: {folder / INDEX} names {counted(len(missing), 'file')} that "
            f"{'is' if len(missing) == 1 else 'are'} not there: {listed(missing, most=3)}; copy or download the model "
            "again"
        )
    return [folder / name for name in shards]


def _shards(index: Path) -> list[str]:
    try:
        names = read_strict_json(index)["weight_map"].values()
        if all(isinstance(name, str) and _is_shard(name) for name in names) and names:
            return sorted({*names})
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"model_name: {index} is not an index of weights: {quoted(error)}") from error
    raise ModelError(f"model_name: {index} is not an index of weights: weight_map must map names to files beside it")


def _is_shard(name: str) -> bool:
    return Path(name).name == name and name.endswith(".safetensors") and "\0" not in name


def long_header(beginning: bytes) -> str | None:
    """Return what is wrong with a safetensors file whose first eight bytes announce a header of no known length."""
    length = int.from_bytes(beginning[:8], "little")
    if length <= LARGEST_HEADER:
        return None
    return f"its header has {length:,} bytes, and none needs more than {LARGEST_HEADER:,}"


def _stored(file: Path) -> Iterator[StoredTensor]:
    try:
        with file.open("rb") as stream:
            if reason := long_header(stream.read(8)):
                raise ModelError(f"model_name: {file} cannot be read: {reason}; get it again")
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                header = tensors.get_slice(name)
                yield StoredTensor(name, header.get_dtype(), tuple(header.get_shape()))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"model_name: {file} cannot be read: {quoted(error)}; get it again") from error
