import io
import re
import zipfile

import numpy as np
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from small_predictions import predicted, unlabelled

LOGITS_NC = np.array([[0.0, 2.0], [1.0, -1.0], [0.5, 0.5]])


def read(tmp_path, **arrays):
    path = tmp_path / "their.npz"
    np.savez(path, **arrays)
    return load_predictions(path)


def softmax(logits):
    exp = np.exp(logits.astype(np.float64))
    return exp / exp.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("classes", [2, 4])
def test_everything_comes_back(tmp_path, write, classes):
    ours = unlabelled(predicted(n=20, classes=classes, truth=True), first=4)
    write(
        tmp_path / "x.npz", logits=ours.logits_MNC, labels=ours.labels_N, ids=np.array(ours.ids),
        seeds=np.array([member.seed for member in ours.members]), true_probs=ours.true_probs_NC, note=np.array("mine"),
    )  # fmt: skip
    theirs = load_predictions(tmp_path / "x.npz")

    assert (theirs.ids, theirs.labels, theirs.members) == (ours.ids, ours.labels, ours.members)
    assert np.array_equal(theirs.logits_MNC, ours.logits_MNC)
    assert np.array_equal(theirs.true_probs_NC, ours.true_probs_NC)


def test_what_is_missing_is_counted(tmp_path):
    predictions = read(tmp_path, logits=LOGITS_NC)

    assert (predictions.ids, predictions.labels, predictions.members) == (("0", "1", "2"), (None,) * 3, trained([0]))
    assert np.array_equal(predictions.logits_MNC, LOGITS_NC[None].astype(np.float32))
    assert read(tmp_path, logits=np.stack([LOGITS_NC] * 4)).members == trained(range(4))


@pytest.mark.parametrize("shape", [(), (4,)])
def test_probabilities_of_any_shape(tmp_path, shape):
    probs = np.broadcast_to(softmax(LOGITS_NC), (*shape, 3, 2))
    predictions = read(tmp_path, probs=probs)

    assert predictions.logits_MNC.shape == (*(shape or (1,)), 3, 2)
    assert np.allclose(softmax(predictions.logits_MNC), probs.reshape(-1, 3, 2), rtol=1e-6, atol=0)


def test_members_and_examples_keep_their_places(tmp_path):
    ours = predicted(n=7, members=3, classes=4)
    predictions = read(tmp_path, probs=softmax(ours.logits_MNC))

    assert np.allclose(softmax(predictions.logits_MNC), softmax(ours.logits_MNC), rtol=2**-17, atol=0)


def test_one_number_an_example_is_class_1(tmp_path):
    predictions = read(tmp_path, probs=np.array([0.25, 0.9]), labels=np.array([False, True]))

    assert np.allclose(softmax(predictions.logits_MNC), [[[0.75, 0.25], [0.1, 0.9]]], rtol=1e-6, atol=0)
    assert predictions.labels == (0, 1)


@pytest.mark.parametrize(
    ("array", "labels"),
    [
        (np.array([1, -1, 0], np.int8), (1, None, 0)),
        (np.array([1.0, np.nan, 0.0]), (1, None, 0)),
    ],
)
def test_labels_that_are_unknown(tmp_path, array, labels):
    assert read(tmp_path, logits=LOGITS_NC, labels=array).labels == labels


@pytest.mark.parametrize(
    ("array", "ids"),
    [
        (np.array(["a", "b", "ü"]), ("a", "b", "ü")),
        (np.array([b"a", b"b", b"c"]), ("a", "b", "c")),
        (np.array([7, 8, 9]), ("7", "8", "9")),
    ],
)
def test_ids_of_text_or_numbers(tmp_path, array, ids):
    assert read(tmp_path, logits=LOGITS_NC, ids=array).ids == ids


MISTAKES = {
    "nothing": ({"x": LOGITS_NC}, "the file has neither `logits` nor `probs`; save one"),
    "both": ({"logits": LOGITS_NC, "probs": LOGITS_NC}, "the file has both `logits` and `probs`; keep one"),
    "misspelt scores": ({"logit": LOGITS_NC}, "'logit' is not a name that is read; did you mean 'logits'?"),
    "misspelt labels": (
        {"logits": LOGITS_NC, "label": np.zeros(3, int)},
        "'label' is not a name that is read; did you mean 'labels'?",
    ),
    "objects": (
        {"logits": LOGITS_NC, "ids": np.array(["a", 2, None], object)},
        "array 'ids' cannot be read (objects of Python are never unpickled); store plain numbers",
    ),
    "complex": ({"logits": LOGITS_NC * 1j}, "array 'logits' holds complex128; it must hold real numbers"),
    "words": ({"logits": LOGITS_NC, "labels": np.array(["a"] * 3)}, "array 'labels' holds text, such as 'a'; give"),
    "fraction": ({"logits": LOGITS_NC, "labels": np.array([0, 0.5, 1])}, "labels[1] is 0.5; labels must be whole"),
    "label range": ({"logits": LOGITS_NC, "labels": np.array([0, 1, 2])}, "example '2' has label 2; with 2 classes"),
    "label -2": ({"logits": LOGITS_NC, "labels": np.array([0, -2, 1])}, "example '1' has label -2; with 2 classes"),
    "ids of numbers": ({"logits": LOGITS_NC, "ids": np.ones(3)}, "array 'ids' holds float64; it must hold text"),
    "same ids": ({"logits": LOGITS_NC, "ids": np.array(["a", "b", "a"])}, "id 'a' is there twice"),
    "flat logits": ({"logits": np.ones(3)}, "array 'logits' has shape (3,); it must be [members, examples, classes]"),
    "deep probs": ({"probs": np.ones((1, 1, 1, 2))}, "array 'probs' has shape (1, 1, 1, 2); it must be [members"),
    "short labels": (
        {"logits": LOGITS_NC, "labels": np.zeros(2, int)},
        "array 'labels' has shape (2,); with 1 members, 3 examples and 2 classes it must be (3,)",
    ),
    "many seeds": ({"logits": LOGITS_NC, "seeds": np.array([1, 2])}, "array 'seeds' has shape (2,); with 1 members"),
    "truth": ({"logits": LOGITS_NC, "true_probs": np.ones((3, 2))}, "example '0' has true probabilities [1.0, 1.0]"),
    "sum": ({"probs": np.full((2, 3, 2), 0.4)}, "probs[0, 0]: class 0 to class 1 sum to 0.8 (5 more rows have"),
    "nan": (
        {"probs": np.array([[[0.5, 0.5]], [[0.5, np.nan]]])},
        "probs[1, 0]: class 1 is nan; a probability is a number from 0 to 1",
    ),
    "one is no probability": ({"probs": np.array([0.1, 7.0])}, "probs[1]: class 1 is 7.0; a probability"),
    "members without classes": ({"probs": np.full((3, 5), 0.5)}, "probs[0]: class 0 to class 4 sum to 2.5"),
    "infinite logit": ({"logits": LOGITS_NC * 1e300}, "example '0', seed 0: logit_1 is inf"),
    "one class": ({"logits": np.ones((3, 1))}, "there are 1 classes; at least logit_0 and logit_1"),
    "no example": ({"logits": np.ones((0, 2))}, "there are 1 members and 0 examples"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(tmp_path, mistake):
    arrays, message = MISTAKES[mistake]

    with pytest.raises(DataError, match=r"their\.npz: " + re.escape(message)):
        read(tmp_path, **arrays)


def torn(content):
    return content[:-30]


def altered(content):
    place = content.index(b"NUMPY") + 200
    return content[:place] + bytes(byte ^ 0xFF for byte in content[place : place + 8]) + content[place + 8 :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (torn, "this is no whole NPZ file; write it with numpy.savez"),
        (lambda content: b"", "this is no whole NPZ file"),
        (lambda content: b"id,label\n", "this is no whole NPZ file"),
        (altered, "array 'logits' cannot be read (Bad CRC-32"),
    ],
)
def test_a_file_that_is_spoilt(tmp_path, spoil, message):
    stream = io.BytesIO()
    np.savez(stream, logits=np.zeros((50, 2)))
    (tmp_path / "x.npz").write_bytes(spoil(stream.getvalue()))

    with pytest.raises(DataError, match=r"x\.npz: " + re.escape(message)):
        load_predictions(tmp_path / "x.npz")


def test_a_single_array_or_another_archive_is_refused(tmp_path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, LOGITS_NC)
    with pytest.raises(DataError, match=r"x\.npz: this is no whole NPZ file"):
        load_predictions(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"y\.npz: the file has neither `logits` nor `probs`"):
        load_predictions(tmp_path / "y.npz")


def test_samples_stand_beside_seeds(tmp_path):
    path = tmp_path / "their.npz"
    np.savez(path, probs=np.full((3, 2, 2), 0.5), seeds=[7, 7, 8], samples=[0, 1, 0])

    assert load_predictions(path).members == (MemberId(7), MemberId(7, 1), MemberId(8))
    np.savez(path, probs=np.full((3, 2, 2), 0.5), samples=[0, 1, 0])
    with pytest.raises(DataError, match=r"their\.npz: there are `samples` without `seeds`"):
        load_predictions(path)


def test_half_a_character_in_an_id_is_named(tmp_path):
    path = tmp_path / "their.npz"
    np.savez(path, probs=np.full((2, 2), 0.5), ids=np.array(["a", "b\udc80"]))

    with pytest.raises(DataError, match=r"their\.npz: id 'b\\udc80' of example 1 \(from 0\) holds half a character"):
        load_predictions(path)
