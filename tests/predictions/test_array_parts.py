import re

import numpy as np
import pandas
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.record import Predictions
from small_predictions import predicted, unlabelled

LOGITS_NC = np.array([[0.0, 2.0], [1.0, -1.0], [0.5, 0.5]])


@pytest.mark.parametrize("classes", [2, 4])
def test_what_a_file_gives_arrays_give(tmp_path, classes):
    ours = unlabelled(predicted(n=20, classes=classes, truth=True), first=4)
    arrays = {
        "logits": ours.logits_MNC, "labels": ours.labels_N, "ids": np.array(ours.ids),
        "seeds": np.array([member.seed for member in ours.members]), "true_probs": ours.true_probs_NC,
    }  # fmt: skip
    np.savez(tmp_path / "x.npz", **arrays)
    for made in (load_predictions(tmp_path / "x.npz"), Predictions.from_arrays(**arrays)):
        assert (made.ids, made.labels, made.members) == (ours.ids, ours.labels, ours.members)
        assert np.array_equal(made.logits_MNC, ours.logits_MNC)
        assert np.array_equal(made.true_probs_NC, ours.true_probs_NC)


def test_plain_lists_with_gaps():
    made = Predictions.from_arrays(probs=[0.25, 0.5, 0.75], labels=[0, None, True], ids=["a", 7, "c"], seeds=[3])

    assert (made.ids, made.labels, made.members) == (("a", "7", "c"), (0, None, 1), trained([3]))
    assert made.logits_MNC.shape == (1, 3, 2)


def test_a_probability_of_0_is_warned_of_without_a_file():
    with pytest.warns(UserWarning, match=r"^1 of 6 probabilities are exactly 0"):
        Predictions.from_arrays(probs=[[0.0, 1.0], [0.5, 0.5], [0.25, 0.75]])


def test_members_with_several_samples_of_a_seed():
    members = (MemberId(1), MemberId(1, 2))

    assert Predictions.from_arrays(logits=np.stack([LOGITS_NC] * 2), members=members).members == members


def test_text_of_objects_as_pandas_gives_it():
    frame = pandas.DataFrame({"id": ["a", "b", "c"], "label": [1.0, None, 0.0]})
    made = Predictions.from_arrays(logits=LOGITS_NC, ids=frame["id"], labels=frame["label"])

    assert (made.ids, made.labels) == (("a", "b", "c"), (1, None, 0))
    assert Predictions.from_arrays(logits=LOGITS_NC, ids=frame["id"].to_numpy(object)).ids == made.ids


MISTAKES = {
    "nothing": ({}, "there are neither `logits` nor `probs`; give one"),
    "both": ({"logits": LOGITS_NC, "probs": LOGITS_NC}, "there are both `logits` and `probs`; keep one"),
    "ragged": ({"logits": [[1.0, 2.0], [3.0]]}, "array 'logits' cannot be read (setting an array element"),
    "words": ({"logits": [["a", "b"]]}, "array 'logits' holds <U1; it must hold real numbers"),
    "long labels": ({"logits": LOGITS_NC, "labels": [0] * 4}, "array 'labels' has shape (4,); with 1 members, 3"),
    "named labels": (
        {"logits": LOGITS_NC, "labels": ["no", "yes", "no"]},
        "array 'labels' holds text, such as 'no'; give",
    ),
    "label range": ({"logits": LOGITS_NC, "labels": [0, 1, 2]}, "example '2' has label 2; with 2 classes"),
    "odd ids": ({"logits": LOGITS_NC, "ids": ["a", None, "b"]}, "array 'ids' holds object; it must hold text"),
    "sum": ({"probs": np.full((3, 2), 0.4)}, "probs[0]: class 0 to class 1 sum to 0.8 (2 more rows"),
    "seeds and members": (
        {"logits": LOGITS_NC, "seeds": [1], "members": trained([1])},
        "there are both `seeds` and `members`; keep one of them",
    ),
    "numbers for members": ({"logits": LOGITS_NC, "members": [1]}, "members: 1 is no MemberId; give whole numbers as"),
    "members": ({"logits": LOGITS_NC, "members": trained([1, 2])}, "members: there are 2, and logits of 1; give one"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake):
    arrays, message = MISTAKES[mistake]

    with pytest.raises(DataError, match="^" + re.escape(message)):
        Predictions.from_arrays(**arrays)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0, np.inf, 1]}, "labels[1] is inf; labels must be whole numbers"),
        ({"seeds": [2**63]}, "seeds[0] is 9.223372036854776e+18; seeds must be whole numbers"),
        ({"members": MemberId(1)}, "members: MemberId(seed=1, sample=0); give a list of MemberId"),
    ],
)
def test_numbers_beyond_all_labels_and_seeds_and_what_is_no_list_are_refused(arrays, message):
    with pytest.raises(DataError, match=re.escape(message)):
        Predictions.from_arrays(logits=LOGITS_NC, **arrays)
