"""From plain values to a kind of head."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ensemble_uq_llm.models.heads.answer import AnswerKind
from ensemble_uq_llm.models.heads.classification import CLASSIFICATION
from ensemble_uq_llm.models.heads.head import HeadKind
from ensemble_uq_llm.models.heads.lm_head import LmHead


def head_kind_of(base: Path, answer_tokens: Sequence[int] | None, *, bf16: bool, tells_rest: bool = False) -> HeadKind:
    """Return the answer head's kind for these tokens, or, without any, the classification head's.

    With `tells_rest` it gives a further logit, that of all other tokens.

    Raises:
        ModelError: the base is of a type whose LM head is not proved to be read rightly.
    """
    if answer_tokens is None:
        return CLASSIFICATION
    dtype = torch.bfloat16 if bf16 else torch.float32
    return AnswerKind(LmHead.of(base, dtype=dtype), tuple(answer_tokens), tells_rest=tells_rest)
