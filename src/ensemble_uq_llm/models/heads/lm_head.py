"""The base's LM head, read from the base's files row by row: no more of it than is asked for is in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.models.checks.base_config import parse_base_config
from ensemble_uq_llm.models.checks.families import PROVEN
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.checks.weights import FLOATING, weight_files
from ensemble_uq_llm.models.gguf.gguf_architectures import OUTPUT, TOKEN_EMBEDDING
from ensemble_uq_llm.models.gguf.gguf_header import is_gguf, read_gguf_header
from ensemble_uq_llm.models.gguf.gguf_rows import GgufRows

_EMBEDDING: Final = ("model.embed_tokens.weight", "embed_tokens.weight")
"""The names of the embedding, which a tied head shares; the second is that of a decoder saved by itself."""

ROWS_AT_ONCE: Final = 8_192


@dataclass(frozen=True, kw_only=True)
class FrozenRows:
    """Rows of the LM head for some tokens: `weight_CH` and `bias_C` or None, in float32, of the base's precision."""

    weight_CH: Tensor
    bias_C: Tensor | None


@dataclass(frozen=True, kw_only=True)
class LmHead:
    """The LM head of the base in `folder`: V tokens of width H, and what happens to a logit after the product.

    The weights are read when they are needed, and are of the precision `dtype` that the base is held in.
    """

    folder: Path
    dtype: torch.dtype
    vocabulary: int
    hidden: int
    is_tied: bool
    factor: float = 1.0
    """What logits are multiplied by (Cohere's logit_scale, Granite's logits_scaling)."""
    cap: float | None = None
    """Gemma's final_logit_softcapping."""

    @staticmethod
    def of(folder: Path, *, dtype: torch.dtype) -> "LmHead":
        """Return the LM head of a base.

        Raises:
            ModelError: a model type whose LM head is not proved to be read as transformers reads it.
        """
        config = parse_base_config(folder)
        if config.model_type not in PROVEN:
            raise ModelError(
                f"head: the LM head of a {config.model_type} is not among those whose equality with transformers is "
                f"proved ({', '.join(PROVEN)}); use head: classification"
            )
        text: Any = config.get_text_config()
        return LmHead(
            folder=folder,
            dtype=dtype,
            vocabulary=text.vocab_size,
            hidden=text.hidden_size,
            is_tied=bool(text.tie_word_embeddings),
            factor=(getattr(text, "logit_scale", None) or 1.0) / (getattr(text, "logits_scaling", None) or 1.0),
            cap=getattr(text, "final_logit_softcapping", None),
        )

    def shaped(self, logits: Tensor) -> Tensor:
        """Return logits after what the model does to each of them by itself, so that any rows can be taken alone."""
        scaled = logits if self.factor == 1.0 else logits * self.factor
        return scaled if self.cap is None else torch.tanh(scaled / self.cap) * self.cap

    def rows(self, tokens: Sequence[int]) -> FrozenRows:
        """Return the rows of these tokens.

        Raises:
            ModelError: the files do not have them, or not as they should be.
        """
        with self._opened() as (weight, bias):
            weight_CH = torch.cat([weight[token : token + 1] for token in tokens])
            bias_C = None if bias is None else torch.cat([bias[token : token + 1] for token in tokens])
        return self._as_held(weight_CH, bias_C)

    def equals(self, copy: Tensor, *, embedding: bool = False) -> bool:
        """Tell whether a copy of all weights [V, H] (or of the embedding's) is the base's own, rounded or not.

        A copy of one dimension [V] is one of the bias.

        Raises:
            ModelError: as `rows`.
        """
        kinds = {torch.float32, torch.bfloat16, torch.float16}
        with self._opened(embedding=embedding) as (weight, bias):
            stored = weight if copy.dim() > 1 else bias
            if stored is None:
                return False
            for start in range(0, self.vocabulary, ROWS_AT_ONCE):
                own, theirs = (each[start : start + ROWS_AT_ONCE] for each in (stored, copy))
                kinds = {kind for kind in kinds if torch.equal(own.to(kind).float(), theirs.float())}
        return bool(kinds)

    def _as_held(self, weight_CH: Tensor, bias_C: Tensor | None) -> FrozenRows:
        if not weight_CH.isfinite().all():
            raise ModelError(f"model_name: the LM head in {self.folder} holds NaN or infinity; get the files again")
        return FrozenRows(
            weight_CH=weight_CH.to(self.dtype).float(),
            bias_C=None if bias_C is None else bias_C.to(self.dtype).float(),
        )

    def whole(self) -> tuple[Tensor, Tensor | None]:
        """Return all rows [V, H], and the bias or None, in the precision of the base.

        Raises:
            ModelError: as `rows`.
        """
        with self._opened() as (weight, bias):
            return weight[:].to(self.dtype), None if bias is None else bias[:].to(self.dtype)

    @contextmanager
    def _opened(self, *, embedding: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield the stored weight, and the bias or None, to be sliced: of the head, which is the embedding where tied.

        A head that is stored goes before one that is tied, as in transformers.

        Raises:
            ModelError: there is none, or one of another shape.
        """
        if is_gguf(self.folder):
            yield self._in_gguf(embedding=embedding), None
            return
        places = dict(self._places())
        own = () if embedding else (f"{LM_HEAD}.weight",)
        names = [*own, *(_EMBEDDING if self.is_tied or embedding else ())]
        name = next((each for each in names if each in places), None)
        if name is None:
            raise ModelError(
                f"model_name: {self.folder} has no LM head ({LM_HEAD}.weight), which head: answer reads; get the whole "
                "language model, or use head: classification"
            )
        bias_name = f"{LM_HEAD}.bias"
        with _stored(places[name], name, (self.vocabulary, self.hidden)) as weight:
            if bias_name not in places or embedding:
                yield weight, None
                return
            with _stored(places[bias_name], bias_name, (self.vocabulary,)) as bias:
                yield weight, bias

    def _in_gguf(self, *, embedding: bool) -> GgufRows:
        header = read_gguf_header(self.folder)
        is_own = OUTPUT in header.tensors and not embedding
        rows = GgufRows(header, OUTPUT if is_own else TOKEN_EMBEDDING)
        if rows.shape != (self.vocabulary, self.hidden):
            raise ModelError(
                f"model_name: the LM head in {self.folder} has shape {rows.shape}, and by its settings it should have "
                f"{(self.vocabulary, self.hidden)}; get the file again"
            )
        return rows

    def _places(self) -> Iterator[tuple[str, Path]]:
        for file in weight_files(self.folder):
            with _reading(file) as tensors:
                for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                    yield name, file


@contextmanager
def _stored(file: Path, name: str, shape: tuple[int, ...]) -> Iterator[Any]:
    with _reading(file) as tensors:
        part = tensors.get_slice(name)
        found, kind = tuple(part.get_shape()), part.get_dtype()
        if found != shape or kind not in FLOATING:
            raise ModelError(
                f"model_name: {name} in {file} has shape {found} and type {kind}, and by config.json it should "
                f"have {shape} in float32, float16 or bfloat16; the two files are not of one model"
            )
        yield part


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as tensors:
            yield tensors
    except (OSError, SafetensorError) as error:
        raise ModelError(f"model_name: {file} cannot be read: {quoted(error)}; get it again") from error
