"""Classes that an example does not have: the option E of a question with four options.

One value says so wherever there are logits, in records and metrics: the lowest number of 32 bits. It is finite, so no
arithmetic on it yields a NaN, and so low that its probability is exactly 0, at every temperature too.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.labels.option_letters import FEWEST_OPTIONS

LACKING: Final = float(np.finfo(np.float32).min)
"""The logit of a class that an example lacks; PyTorch's masks write the same number."""

_FAR_BELOW: Final = -1e30
"""No model's logit; a lacking class's is below it, also as a log-probability and divided by a temperature."""


def lacks(logits: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return where logits or log-probabilities are of classes that the example lacks."""
    return logits < _FAR_BELOW


def options_of(logits_NC: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return how many of the classes each example has."""
    counts_N: NDArray[np.int64] = (~lacks(logits_NC)).sum(axis=-1)
    return counts_N


def with_lacking(logits: NDArray[Any]) -> NDArray[Any]:
    """Return logits, where there is no number (NaN or minus infinity) that of a lacking class.

    Where fewer than two numbers are left nobody asked for a choice: such a row stays as it is, for `Predictions` to
    refuse.
    """
    is_none = np.isnan(logits) | (logits < _FAR_BELOW)
    if not is_none.any():
        return logits
    is_choice = (~is_none).sum(axis=-1, keepdims=True) >= FEWEST_OPTIONS
    return np.where(is_none & is_choice, logits.dtype.type(LACKING), logits)


def masked(logits: NDArray[np.floating], options_N: NDArray[np.int64] | None) -> NDArray[np.floating]:
    """Return logits [..., N, C], those from the number of an example's options on being lacking; None: all have all."""
    if options_N is None:
        return logits
    beyond_NC = np.arange(logits.shape[-1]) >= options_N[:, None]
    return np.where(beyond_NC, logits.dtype.type(LACKING), logits)
