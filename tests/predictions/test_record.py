import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.record import Predictions


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"ids": ("a", "a")}, DataError, "id 'a' is there twice"),
        ({"members": trained((5, 5))}, DataError, "seed 5 is there twice"),
        ({"members": (MemberId(5, 2), MemberId(5, 2))}, DataError, "seed 5, sample 2 is there twice"),
        ({"labels": (0,)}, ValueError, "2 members, 2 ids and 1 labels"),
        ({"logits_MNC": np.zeros((2, 3, 2), np.float32)}, ValueError, r"logits_MNC has shape \(2, 3, 2\)"),
        ({"true_probs_NC": np.full((2, 3), 1 / 3)}, ValueError, r"true_probs_NC has shape \(2, 3\)"),
        (
            {"ids": (), "labels": (), "logits_MNC": np.zeros((2, 0, 2), np.float32)},
            DataError,
            "2 members and 0 examples; at least one of each is needed",
        ),
    ],
)
def test_parts_that_do_not_fit_together(parts, error, message):
    whole = {
        "ids": ("a", "b"),
        "labels": (0, 1),
        "members": trained((5, 6)),
        "logits_MNC": np.zeros((2, 2, 2), np.float32),
    }
    with pytest.raises(error, match=message):
        Predictions(**whole | parts)
