"""A GGUF file's decoder, dequantised by transformers' own reader."""

import io
from contextlib import redirect_stderr
from typing import Any

import transformers
from transformers import AutoModel

from ensemble_uq_llm.models.gguf.gguf_alone import alone
from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader


def need_gguf() -> None:
    """Import what transformers' reader needs, before any work.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import accelerate  # noqa: F401
    import gguf  # noqa: F401


def load_gguf_decoder(header: GgufHeader, **settings: Any) -> tuple[Any, Any]:
    """Return the decoder and what transformers tells of its loading; `settings` are those of `from_pretrained`.

    Every weight is dequantised in float32 and then rounded to the type that is asked for, as the weights of a folder
    in float32 are.
    """
    need_gguf()
    if hasattr(transformers, "GgufConfig"):  # versions that have it would leave some types' weights packed
        settings["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with (
        alone(header.path) as (folder, name),
        redirect_stderr(io.StringIO()),
    ):  # its progress bar cannot be switched off
        found: tuple[Any, Any] = AutoModel.from_pretrained(
            str(folder), gguf_file=name, trust_remote_code=False, **settings
        )
    return found
