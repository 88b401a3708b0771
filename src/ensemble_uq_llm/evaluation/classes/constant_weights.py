"""Constant answers where examples lack classes: weights that every example shares out among the classes it has.

The classes' frequencies themselves will not do there: a letter that few questions have would seem improbable where it
stands, and whoever guesses among the options would be called better than chance.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST_STEPS: Final = 1000
_PRECISION: Final = 1e-9  # of the labels


def fitting_weights(labels_N: NDArray[np.int64], lacks_NC: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights with which every class is expected as often as it is the label, [C]; their sum is 1.

    They are those of the lowest NLL (Luce's choice rule), which lies at or below that of guessing among the options.
    Every step lowers it (Hunter 2004, "MM algorithms for generalized Bradley-Terry models"). A class that is never the
    label has no weight; where one is always the label, it has nearly all.

    Args:
        labels_N: the labels, all known; at least one.
        lacks_NC: the classes that each example lacks; none of them its label.
    """
    count_C = np.bincount(labels_N, minlength=lacks_NC.shape[1]).astype(np.float64)
    has_PC, rows_P = np.unique(~lacks_NC, axis=0, return_counts=True)
    weight_C = (count_C > 0) / np.count_nonzero(count_C)
    for _ in range(_MOST_STEPS):
        expected_C = weight_C * ((rows_P / (has_PC @ weight_C)) @ has_PC)
        if np.abs(expected_C - count_C).max() <= _PRECISION * len(labels_N):
            break
        weight_C = np.divide(weight_C * count_C, expected_C, out=np.zeros_like(weight_C), where=expected_C > 0)
        weight_C /= weight_C.sum()
    return weight_C
