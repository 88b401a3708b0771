"""What a loaded base computes: whether it runs in packs at all, and whether that equals transformers' own batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.checks.quotes import quoted
from ensemble_uq_llm.models.memory import is_out_of_memory
from ensemble_uq_llm.models.pack import Tokens, make_pack

LENGTHS: Final = (23, 1, 160, 7)
"""The tokens of the rows that are compared."""

TOLERANCE: Final = 1e-4
"""How far the two may be apart, relative to the largest entry; float32 rounds at about 1e-6."""


def check_runs(decoder: PreTrainedModel) -> None:
    """Run a few tokens through a decoder, so that what cannot run is said at once and by name.

    Raises:
        ModelError: the decoder's own code fails, or what comes out is not finite.
    """
    with _named_failure(decoder, "cannot be run; do the sizes in its config.json fit together?"):
        states_BH = _packed(decoder, _rows(decoder, (2, 1)))
    if not states_BH.isfinite().all():
        raise ModelError(
            f"model_name: {_kind(decoder)} gives NaN or infinity for its first tokens; are its weights and the numbers "
            "in its config.json right?"
        )


def check_parity(decoder: PreTrainedModel) -> None:
    """Compare a decoder in packs with transformers' own eager attention on a batch with padding, in float32.

    Raises:
        ModelError: the two differ, or one of them cannot be computed.
    """
    dtype = decoder.dtype
    with _named_failure(decoder, "cannot be compared with transformers"):
        rows = _rows(decoder, LENGTHS)
        decoder.float()
        decoder.set_attn_implementation("eager")
        theirs_BH = _padded(decoder, rows)
        decoder.set_attn_implementation(PACKED_ATTENTION)
        ours_BH = _packed(decoder, rows)
        nn.Module.to(decoder, dtype)  # exact: the weights came from there
    apart = ((ours_BH - theirs_BH).abs().max() / theirs_BH.abs().max()).item()
    if not apart <= TOLERANCE:
        raise ModelError(
            f"model_name: {_kind(decoder)} computes something else in packs than transformers does of each row (apart "
            f"by {apart:.1e} of the largest entry), so it cannot be used; is its attention more than causal?"
        )


@contextmanager
def _named_failure(decoder: PreTrainedModel, failure: str) -> Iterator[None]:
    """Name the model where its own code fails, whatever with: it is not ours."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {quoted(error)}"
        raise ModelError(f"model_name: {_kind(decoder)} {failure} ({reason})") from error


def _kind(decoder: PreTrainedModel) -> str:
    return f"{decoder.config.model_type} ({type(decoder).__name__})"


def _rows(decoder: PreTrainedModel, lengths: tuple[int, ...]) -> list[Tokens]:
    vocabulary = decoder.config.get_text_config().vocab_size
    generator = np.random.default_rng(0)
    return [generator.integers(0, vocabulary, size=length, dtype=np.int32) for length in lengths]


@torch.no_grad()
def _packed(decoder: PreTrainedModel, rows: list[Tokens]) -> Tensor:
    """Return the last token's state of each row [B, H], all from one pack."""
    pack = make_pack([(0, rows)], device=decoder.device)
    output: Any = decoder(
        input_ids=pack.tokens_T[None], position_ids=pack.positions_T[None], use_cache=False, pack=pack
    )
    return output.last_hidden_state[0].index_select(0, pack.last_B).float()


@torch.no_grad()
def _padded(decoder: PreTrainedModel, rows: list[Tokens]) -> Tensor:
    """Return the last token's state of each row [B, H] from a batch that is padded on the right."""
    sequences = [torch.from_numpy(each).long() for each in rows]
    batch = {
        "input_ids": torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True),
        "attention_mask": torch.nn.utils.rnn.pad_sequence([torch.ones_like(s) for s in sequences], batch_first=True),
    }
    output: Any = decoder(**{name: each.to(decoder.device) for name, each in batch.items()}, use_cache=False)
    last_B = torch.tensor([len(each) - 1 for each in sequences], device=decoder.device)
    return output.last_hidden_state[torch.arange(len(rows), device=decoder.device), last_B].float()
