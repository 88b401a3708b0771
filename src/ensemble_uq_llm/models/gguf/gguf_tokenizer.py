"""A GGUF file's tokenizer, made by transformers, and cutting texts as the model's own does.

transformers makes it from the lists of tokens, merges and scores. What else a tokenizer.json would say is not in a
file, or only by a name that transformers takes for GPT-2's where it does not know it, and says nothing.
"""

from typing import Any, Final

from tokenizers import normalizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.gguf.gguf_alone import alone
from ensemble_uq_llm.models.gguf.gguf_cutting import WAYS, Way
from ensemble_uq_llm.models.gguf.gguf_header import GgufHeader
from ensemble_uq_llm.utils.text import clipped

BYTE_LEVEL: Final = "gpt2"
SENTENCEPIECE: Final = "llama"
LONGEST_TOKEN: Final = 512
MOST_SPLITS: Final = 50_000_000
"""Places at which tokens can be parted: where a file has no merges, each of them is tried."""


def gguf_tokenizer(header: GgufHeader, *, vocabulary: int) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a GGUF file whose model has so many tokens.

    Raises:
        ModelError: the lists of tokens and merges do not fit each other or the model, or the file names a way to cut
            texts that is not known.
    """
    kind = _check_lists(header, vocabulary)
    way = _way(header) if kind == BYTE_LEVEL else None
    begins: dict[str, Any] = {} if way is None else {"add_bos_token": way.begins}  # where the file itself does not say
    with alone(header.path) as (folder, name):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            str(folder), gguf_file=name, local_files_only=True, **begins
        )
    tokenizer.name_or_path = str(header.path)
    backend = tokenizer.backend_tokenizer
    if way is not None:
        way.shape(backend)
    elif header.values.get("tokenizer.ggml.add_space_prefix") is False:
        backend.normalizer, backend.pre_tokenizer = normalizers.Replace(" ", "\u2581"), None
    return tokenizer


def _way(header: GgufHeader) -> Way:
    name = header.values.get("tokenizer.ggml.pre")
    if not isinstance(name, str) or name not in WAYS:
        raise ModelError(
            f"model_name: {header.path} says that its texts are cut in the way {clipped(name)} (tokenizer.ggml.pre), "
            f"which is none of {', '.join(WAYS)}: tokens would differ from those that the model knows; give the "
            "model's folder of safetensors instead"
        )
    return WAYS[name]


def _check_lists(header: GgufHeader, vocabulary: int) -> str:
    """Check what the tokenizer is made from; return its kind."""
    values: dict[str, Any] = {key.removeprefix("tokenizer.ggml."): value for key, value in header.values.items()}
    kind = values.get("model")
    if kind not in (BYTE_LEVEL, SENTENCEPIECE):
        raise _unusable(header, f"its kind (tokenizer.ggml.model) is {clipped(kind)}; {BYTE_LEVEL} and llama are read")
    tokens: Any = values.get("tokens")
    if not _is_texts(tokens) or len(tokens) != vocabulary:
        found = f"{len(tokens):,}" if isinstance(tokens, list) else "no"
        raise _unusable(header, f"it has {found} tokens, and the model has {vocabulary:,}")
    if len(set(tokens)) < len(tokens):
        raise _unusable(header, "it has a token twice")
    if max(map(len, tokens)) > LONGEST_TOKEN:
        raise _unusable(header, f"a token has more than {LONGEST_TOKEN} characters")
    merges: Any = values.get("merges")
    if merges is not None and not (_is_texts(merges) and all(each.count(" ") == 1 for each in merges)):
        raise _unusable(header, "its merges must be two pieces each, with a space between them")
    if merges is None and (kind == BYTE_LEVEL or not _is_long_as(values.get("scores"), tokens)):
        raise _unusable(header, "it has neither merges nor scores of its tokens")
    if merges is None and sum(len(token) ** 2 for token in tokens) > MOST_SPLITS:
        raise _unusable(header, "its tokens are too long to find their merges")
    if not _is_long_as(values.get("token_type", tokens), tokens):
        raise _unusable(header, "its tokens and their types (token_type) are not of one number")
    for key in ("bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"):
        number = values.get(key, 0)
        if not isinstance(number, int) or not 0 <= number < len(tokens):
            raise _unusable(header, f"{key} is {clipped(number)}, and there are {len(tokens):,} tokens")
    if not isinstance(header.values.get("tokenizer.chat_template", ""), str):
        raise _unusable(header, "its chat template is no text")
    return str(kind)


def _is_texts(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(each, str) for each in values)


def _is_long_as(values: object, tokens: list[str]) -> bool:
    return isinstance(values, list) and len(values) == len(tokens)


def _unusable(header: GgufHeader, reason: str) -> ModelError:
    return ModelError(f"model_name: the tokenizer in {header.path} cannot be used: {reason}; get the file again")
