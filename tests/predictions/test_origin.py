from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.origin import Origin, differences, origin_metadata, origin_of_metadata
from ensemble_uq_llm.predictions.parquet import read_origin, read_predictions, write_predictions
from ensemble_uq_llm.predictions.selection import of_labelled, of_members
from small_predictions import predicted, unlabelled

ORIGIN = Origin(
    weights={"seed_42": "a", "seed_43": "b", "seed_44": "c"},
    base="base",
    data="data",
    source="/data/neu ü.jsonl",
    settings={"cut_column": None, "max_length": 40, "use_bf16": True},
)


def test_what_made_predictions_travels_with_their_file(tmp_path):
    path = tmp_path / "it.parquet"
    write_predictions(path, replace(predicted(), origin=ORIGIN))

    assert read_predictions(path).origin == load_predictions(path).origin == read_origin(path) == ORIGIN
    assert pq.read_table(path).column_names == ["id", "label", "seed", "logit_0", "logit_1"]


def test_parts_of_predictions_are_of_the_same_origin():
    whole = replace(unlabelled(predicted(), first=5), origin=ORIGIN)

    assert of_labelled(whole).origin == ORIGIN
    assert of_members(whole, trained([43]), name="it", others="them").origin == ORIGIN


def test_files_of_other_programs_have_none(tmp_path):
    path = tmp_path / "it.parquet"
    write_predictions(path, predicted())

    assert read_predictions(path).origin is None
    assert read_origin(path) is read_origin(tmp_path / "absent.parquet") is None
    assert origin_of_metadata({b"pandas": b"{}"}) is origin_of_metadata(None) is origin_metadata(None) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"weights": 3}', b"\xff"])
def test_metadata_that_are_torn_are_refused(text):
    with pytest.raises(DataError, match=r"metadata do not tell what made it .*; predict the set again"):
        origin_of_metadata({b"ensemble_uq_origin": text})


@pytest.mark.parametrize(
    ("members", "weights", "found"),
    [
        (trained([42, 43]), {"seed_42": "a", "seed_43": "b"}, []),
        (trained([43, 42]), {"seed_42": "a", "seed_43": "b"}, []),
        (trained([43, 42]), {}, []),
        (trained([42, 43, 44]), {"seed_44": "c"}, []),
        (trained([42]), {"seed_42": "a"}, ["without seed 43"]),
        (trained([42, 43, 7]), {}, ["with seed 7"]),
        (trained([42, 43]), {"seed_42": "a", "seed_43": "other"}, ["with other weights of seed 43"]),
        ((MemberId(42), MemberId(43, 1)), {}, ["without seed 43", "with seed 43, sample 1"]),
    ],
)
def test_what_differs_is_said(members, weights, found):
    differ = differences(members, ORIGIN, wanted=trained([42, 43]), allowed=trained([44]), weights=weights)
    assert differ == found


def test_without_digests_names_count():
    wanted = trained([42, 43])
    assert differences(wanted, None, wanted=wanted, allowed=(), weights={"seed_42": "x"}) == []
    assert differences(wanted[:1], None, wanted=wanted, allowed=(), weights={}) == ["without seed 43"]
