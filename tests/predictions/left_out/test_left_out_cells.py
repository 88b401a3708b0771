from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.predictions.left_out.left_out_cells import by_who_left_out, filled
from ensemble_uq_llm.predictions.ordering import in_order, members_by_identity
from ensemble_uq_llm.predictions.parquet import read_predictions, write_predictions
from ensemble_uq_llm.predictions.selection import of_labelled, of_members
from small_predictions import left_out_of, predicted, unlabelled

BAGGED = left_out_of(predicted(40, members=5), out=2)


def test_a_file_has_only_the_pairs_that_count_and_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "out_of_bag.parquet"
    write_predictions(path, BAGGED)
    table = pq.read_table(path)
    assert table.num_rows == 40 * 2
    assert set(table.column("out_of_bag").to_pylist()) == {1}
    own = {(id_, seed) for id_, seed in zip(*(table.column(name).to_pylist() for name in ("id", "seed")), strict=True)}
    said = {(BAGGED.ids[n], BAGGED.members[m].seed) for m, n in zip(*np.nonzero(BAGGED.left_out_MN), strict=True)}
    assert own == said
    found = by_name(read_predictions(path))
    expected = by_name(BAGGED)
    assert (found.members, found.labels) == (expected.members, expected.labels)
    assert (found.left_out_MN == expected.left_out_MN).all()
    assert (found.logits_MNC == expected.logits_MNC).all()


def by_name(predictions):
    predictions = members_by_identity(predictions)
    order = sorted(range(len(predictions.ids)), key=predictions.ids.__getitem__)
    return replace(
        predictions,
        ids=tuple(predictions.ids[n] for n in order),
        labels=tuple(predictions.labels[n] for n in order),
        logits_MNC=predictions.logits_MNC[:, order],
        left_out_MN=predictions.left_out_MN[:, order],
    )


def test_a_pair_twice_is_refused(tmp_path):
    path = tmp_path / "p.parquet"
    write_predictions(path, BAGGED)
    table = pq.read_table(path)
    pq.write_table(table.take([0, *range(table.num_rows)]), path)
    with pytest.raises(DataError, match="more than once"):
        read_predictions(path)


def test_without_the_column_a_missing_pair_is_a_mistake(tmp_path):
    path = tmp_path / "p.parquet"
    write_predictions(path, BAGGED)
    pq.write_table(pq.read_table(path).drop_columns(["out_of_bag"]), path)
    with pytest.raises(DataError, match="every member must predict every example"):
        read_predictions(path)


def test_a_small_file_of_many_members_and_examples_takes_no_memory(tmp_path):
    """A row for each of as many members as examples would be a table of the square."""
    path, count = tmp_path / "p.parquet", 50_000
    seeds = list(range(count))
    columns = {"id": list(map(str, seeds)), "label": [0] * count, "seed": seeds, "out_of_bag": [1] * count}
    pq.write_table(pa.table(columns | {"logit_0": [0.0] * count, "logit_1": [1.0] * count}), path)
    with pytest.raises(DataError, match=r"50,000 rows with out_of_bag of 50,000 members and 50,000 examples"):
        read_predictions(path)


def test_what_does_not_count_is_a_copy_of_what_does():
    left_out_MN = np.array([[False, True, False], [True, True, False], [True, False, True]])
    values_MN = np.arange(9).reshape(3, 3)
    assert filled(values_MN, left_out_MN).tolist() == [[3, 1, 8], [3, 4, 8], [6, 1, 8]]


def test_groups_hold_the_values_that_count_alone():
    left_out_MN = np.array([[False, True, False], [True, True, False], [True, False, True]])
    groups = by_who_left_out(np.arange(9).reshape(3, 3), left_out_MN)
    assert [(rows.tolist(), values.tolist()) for rows, values in groups] == [([2], [[8]]), ([0, 1], [[3, 1], [6, 4]])]


def test_an_example_that_every_member_was_trained_on_is_refused():
    left_out_MN = BAGGED.left_out_MN.copy()
    left_out_MN[:, 3] = False
    with pytest.raises(DataError, match="example 'q3': every member was trained on it; leave it out"):
        replace(BAGGED, left_out_MN=left_out_MN)
    with pytest.raises(ValueError, match=r"left_out_MN has shape \(2, 40\), but there are 5 members, 40 ids"):
        replace(BAGGED, left_out_MN=left_out_MN[:2])


def test_the_mask_goes_with_examples_and_members():
    ordered, order_N = in_order(BAGGED)
    assert (ordered.left_out_MN == BAGGED.left_out_MN[:, order_N]).all()
    labelled = of_labelled(replace(BAGGED, labels=unlabelled(BAGGED, first=10).labels))
    assert (labelled.left_out_MN == BAGGED.left_out_MN[:, 10:]).all()


def test_of_fewer_members_there_are_the_examples_that_one_of_them_left_out():
    members = BAGGED.members[3:0:-1]
    own_N = BAGGED.left_out_MN[1:4].any(axis=0)
    assert 0 < own_N.sum() < 40
    few = of_members(BAGGED, members, name="the calibration set", others="the test set")
    assert few.ids == tuple(np.array(BAGGED.ids)[own_N])
    assert (few.left_out_MN == BAGGED.left_out_MN[3:0:-1][:, own_N]).all()
    counts = few.logits_MNC[few.left_out_MN]
    assert (counts == BAGGED.logits_MNC[3:0:-1][:, own_N][few.left_out_MN]).all()
    nobody = replace(BAGGED, left_out_MN=np.arange(5)[:, None] != np.full(40, 2))
    with pytest.raises(DataError, match="no example that seed 44 left out; calibrate on other examples"):
        of_members(nobody, BAGGED.members[2:3], name="the calibration set", others="the test set")
