import json

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.bag_design import BagDesign, design_of, rows_an_epoch
from ensemble_uq_llm.errors import DataError


def asking(seeds=tuple(range(42, 52)), **keys):
    return Config(bootstrap="balanced", seeds=seeds, **keys)


def test_without_the_key_every_member_sees_every_row():
    assert design_of(Config()) is None
    assert rows_an_epoch(Config(), 1001) == 1001


@pytest.mark.parametrize(
    ("members", "share", "out"),
    [(10, 0.3, 3), (10, 0.99, 9), (10, 0.01, 1), (1000, 0.01, 10), (2, 0.3, 1), (3, 0.9, 2), (4, 0.5, 2)],
)
def test_the_share_is_so_many_whole_members_at_least_one_and_not_all(members, share, out):
    assert design_of(asking(tuple(range(members)), bootstrap_out=share)).out == out


def test_the_design_is_that_of_the_members_in_whatever_order():
    assert design_of(asking((3, 1, 2))) == design_of(asking((2, 3, 1)))
    assert design_of(asking((3, 1, 2), num_ensemble_models=2)).seeds == (1, 3)
    assert design_of(asking((3, 1))) != design_of(asking((3, 1), calibration_seed=1))


def test_it_survives_a_members_record():
    design = design_of(asking())
    assert BagDesign.of_json(json.loads(json.dumps(design.as_json()))) == design


@pytest.mark.parametrize(
    ("rows", "smallest"), [(1000, 700), (1001, 700), (1003, 702), (1009, 706), (1010, 707), (2, 1)]
)
def test_the_smallest_bag_of_ten_members_and_three_out(rows, smallest):
    assert rows_an_epoch(asking(), rows) == smallest


def test_a_member_without_a_row_is_refused_and_the_advice_works():
    with pytest.raises(
        DataError, match=r"1 training example, each left out of 3 of 10 members, leave a member without"
    ):
        rows_an_epoch(asking(), 1)
    few = asking((1, 2, 3), bootstrap_out=0.9)
    with pytest.raises(DataError, match="give more examples, or lower bootstrap_out"):
        rows_an_epoch(few, 2)
    assert rows_an_epoch(few.model_copy(update={"bootstrap_out": 0.3}), 2) == 1
    assert rows_an_epoch(few, 3) == 1
