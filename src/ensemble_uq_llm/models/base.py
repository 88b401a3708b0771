"""The frozen base: find its files (embedded, local, or hub), then load tokenizer and decoder from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from ensemble_uq_llm.config import EMBEDDED_MODEL
from ensemble_uq_llm.errors import ModelError, UnreachableModelError, is_panic
from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.checks.base_config import parse_base_config, read_base_config
from ensemble_uq_llm.models.checks.families import PROVEN
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.tokenizer_files import check_growth, check_tokenizer_settings
from ensemble_uq_llm.models.checks.weights import check_weights
from ensemble_uq_llm.models.checks.whole_model import check_parity, check_runs
from ensemble_uq_llm.models.gguf.gguf_decoder import load_gguf_decoder
from ensemble_uq_llm.models.gguf.gguf_header import SUFFIX, is_gguf, read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_tokenizer import gguf_tokenizer
from ensemble_uq_llm.models.local import embedded_folder, hub_parts, hub_patterns, local_folder
from ensemble_uq_llm.models.lora.spec import decoder_layers
from ensemble_uq_llm.models.memory import naming_memory
from ensemble_uq_llm.models.tokenizer import BaseTokenizer
from ensemble_uq_llm.utils.hub import why_hub_is_silent

PROBE: Final = "Is it 3.14 or not? " + "a" * 64 + "!\n\tÄ 漢 🙂 </s>"
"""A text that every tokenizer must be able to read."""


def find_base(name: str, *, revision: str | None, cache_dir: Path | None, weights: bool = True) -> Path:
    """Return the folder that holds the base's files, or its GGUF file; what is on the hub is downloaded.

    Args:
        name: a hub name, that of a GGUF file in a hub model, a local folder, a local GGUF file, or `embedded`.
        revision: branch, tag or commit of a hub model; None is its main branch.
        cache_dir: where downloads are kept; None is the hub's own cache.
        weights: False downloads the small files only. A GGUF file comes whole.

    Raises:
        ModelError: there is no such folder or file, and no such model can be had from the hub; the message says why.
    """
    if name == EMBEDDED_MODEL:
        return embedded_folder()
    if (local := local_folder(name)) is not None:
        return local
    repository, file = hub_parts(name)
    if file:
        return _download_gguf(name, repository, file, revision=revision, cache_dir=cache_dir)
    folder = _download(repository, revision, cache_dir, hub_patterns(weights=weights))
    if not (folder / "config.json").exists():
        raise ModelError(
            f"model_name: {repository!r} on the hub has no config.json, so it is no Hugging Face model; if it holds "
            f"{SUFFIX} files, name one of them as {repository}/file{SUFFIX}"
        )
    return folder


def load_tokenizer(folder: Path) -> BaseTokenizer:
    """Load the tokenizer of a base.

    Raises:
        ModelError: the folder has no tokenizer that transformers can load, or no usable configuration.
    """
    settings = parse_base_config(folder)
    embeddings = getattr(settings.get_text_config(), "vocab_size", None)
    if not isinstance(embeddings, int):
        raise ModelError(f"model_name: {settings.model_type} has no vocabulary (vocab_size), so it reads no texts")
    with _named_panic(folder):
        tokenizer = _read_tokenizer(folder, settings, embeddings)
    pad_token = getattr(settings.get_text_config(), "pad_token_id", None)
    if not tokenizer.is_fast:
        raise ModelError(f"model_name: the tokenizer in {folder} has no fast version (tokenizer.json), which is needed")
    check_growth(folder, tokenizer.backend_tokenizer)
    with _named_panic(folder):
        tokenizer([PROBE, ""])
    return BaseTokenizer(tokenizer=tokenizer, embeddings=embeddings, pad_token=pad_token)


@naming_memory("the base (model_name)", "set use_bf16: true", "take a smaller one")
def load_decoder(folder: Path, *, device: torch.device, bf16: bool, allow_unproven: bool = False) -> PreTrainedModel:
    """Load the decoder without its LM head, once, frozen, with packed attention.

    Args:
        folder: the base's files.
        device: where the weights go.
        bf16: hold them in bfloat16 instead of float32.
        allow_unproven: take a type outside the table of `families.py` too, if it passes the comparison.

    Raises:
        ModelError: not a decoder that can be computed in packs, or weights that are missing or not as they should be.
    """
    skeleton = load_skeleton(folder, bf16=bf16, allow_unproven=allow_unproven)
    check_weights(folder, skeleton)
    transformers_logging.disable_progress_bar()
    try:
        decoder, report = _read_decoder(
            folder,
            config=skeleton.config,
            dtype=torch.bfloat16 if bf16 else torch.float32,
            attn_implementation=PACKED_ATTENTION,
            output_loading_info=True,
        )
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise ModelError(f"model_name: the model in {folder} cannot be loaded: {quoted(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"model_name: {folder} lacks weights: {', '.join(missing[:3])} ({len(missing)} in all)")
    decoder = decoder.to(device).requires_grad_(False).eval()
    check_runs(decoder)
    if decoder.config.model_type not in PROVEN:
        check_parity(decoder)
    return decoder


def load_skeleton(folder: Path, *, bf16: bool, allow_unproven: bool = False) -> PreTrainedModel:
    """Build the decoder without its weights (on the meta device), to count and plan with.

    Raises:
        ModelError: the folder's configuration is not one of a model that can be computed in packs.
    """
    settings = read_base_config(folder, allow_unproven=allow_unproven)
    try:
        with torch.device("meta"):
            skeleton = AutoModel.from_config(
                settings,
                dtype=torch.bfloat16 if bf16 else torch.float32,
                attn_implementation=PACKED_ATTENTION,
                trust_remote_code=False,
            )
    except Exception as error:
        raise ModelError(
            f"model_name: the configuration in {folder} cannot be used: {type(error).__name__}: {quoted(error)}"
        ) from error
    decoder_layers(skeleton)
    return skeleton


def _read_tokenizer(folder: Path, settings: PreTrainedConfig, embeddings: int) -> PreTrainedTokenizerBase:
    if is_gguf(folder):
        return gguf_tokenizer(read_gguf_header(folder), vocabulary=embeddings)
    check_tokenizer_settings(folder, getattr(settings, "tokenizer_class", None))
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        str(folder), config=settings, trust_remote_code=False, local_files_only=True
    )
    return tokenizer


def _read_decoder(folder: Path, **settings: Any) -> tuple[Any, Any]:
    if is_gguf(folder):
        return load_gguf_decoder(read_gguf_header(folder), **settings)
    found: tuple[Any, Any] = AutoModel.from_pretrained(
        str(folder), use_safetensors=True, trust_remote_code=False, **settings
    )
    return found


@contextmanager
def _named_panic(folder: Path) -> Iterator[None]:
    """Name the tokenizer that fails, be it by a panic."""
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise ModelError(f"model_name: no usable tokenizer in {folder}: {quoted(error)}") from error


def _download_gguf(name: str, repository: str, file: str, *, revision: str | None, cache_dir: Path | None) -> Path:
    """Return one file of a hub model; whoever meant a path on this machine is told that nothing is there."""
    nowhere = f"model_name: there is no file {name} here"
    try:
        path = _download(repository, revision, cache_dir, hub_patterns(file)) / file
    except ModelError as error:
        raise type(error)(f"{nowhere}, and of the hub: {str(error).removeprefix('model_name: ')}") from error
    if path.is_file():
        return path
    if silence := why_hub_is_silent():
        raise UnreachableModelError(f"{nowhere} nor in the cache, and {silence}; correct the path, or connect")
    raise ModelError(
        f"{nowhere}, and none {file!r} in {repository!r} on the hub; correct the path, or see its files there"
    )


def _download(name: str, revision: str | None, cache_dir: Path | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    silence = why_hub_is_silent()
    fetch: Any = partial(
        snapshot_download,
        name,
        revision=revision,
        cache_dir=cache_dir,
        allow_patterns=patterns,
        local_files_only=silence is not None,
    )
    try:
        return Path(fetch())
    except Exception as error:
        kind = UnreachableModelError if _is_unreachable(silence, error) else ModelError
        raise kind(f"model_name: {_explained(name, revision, cache_dir, silence, error)}") from error


def _is_unreachable(silence: str | None, error: Exception) -> bool:
    from huggingface_hub import errors

    return silence is not None and isinstance(error, errors.LocalEntryNotFoundError)


def _explained(name: str, revision: str | None, cache_dir: Path | None, silence: str | None, error: Exception) -> str:
    """Say what happened and what to do, the most specific first."""
    from huggingface_hub import constants, errors

    token = "run `hf auth login` or set HF_TOKEN"
    local = f"or give the folder of a local copy, or `{EMBEDDED_MODEL}` for the model that ships with this package"
    if isinstance(error, errors.HFValidationError):
        return f"{name!r} is neither a folder here nor a valid hub name such as meta-llama/Llama-3.2-1B"
    if isinstance(error, errors.GatedRepoError):
        return f"{name!r} is gated: accept its licence on {constants.ENDPOINT}/{name}, then {token}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name!r} has no revision {revision!r}; check model_revision"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{name!r} is neither a folder here nor a model on the hub; check the name, and if it is private, {token}"
        )
    if _is_unreachable(silence, error):
        cache = cache_dir or constants.HF_HUB_CACHE
        return f"{name!r} is not in the cache ({cache}), and {silence}; connect to download it, {local}"
    again = "run the same command again: files that are complete are kept"
    return f"{name!r} could not be downloaded ({type(error).__name__}: {quoted(error)}); {again}, {local}"
