import json

import pytest

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.data.bags.drawn_bags import draw_bags
from ensemble_uq_llm.data.bags.recorded_bags import left_out_rows, recorded_bags
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.member import MemberId, trained
from ensemble_uq_llm.run_folder import RunFolder
from small_runs import put

DESIGN = BagDesign(seeds=(1, 2, 3), out=1, seed=0)
BAGS = draw_bags(DESIGN, 30)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.owned("train"):
        for seed in DESIGN.seeds:
            record(folder, seed)
    return folder


def record(folder, seed, design=DESIGN.as_json(), **changes):
    content = {"settings": {"bootstrap": design}, "data_digest": "d", "left_out_sha256": BAGS.digest_of(seed)}
    put(folder, folder.member_record(MemberId(seed)), json.dumps(content | changes))


def recorded(folder, seeds=(1, 2, 3), rows=30, data="d"):
    return recorded_bags(folder, trained(seeds), rows=rows, data_digest=data)


@pytest.mark.parametrize("seeds", [(1, 2, 3), (3, 1), (2,)])
def test_the_bags_are_those_of_the_training_whoever_of_it_is_asked(folder, seeds):
    assert (recorded(folder, seeds).left_out_MN == BAGS.left_out_MN).all()


def test_samples_have_no_rows_out_of_bags(folder):
    with pytest.raises(DataError, match="has samples, and a maker may look at any row"):
        left_out_rows(folder, [MemberId(1, 1)], wanted=[True] * 30, data_digest="d")


def test_members_that_have_seen_all_rows_have_none(folder):
    record(folder, 1, design=None)
    assert recorded(folder) is None
    assert recorded(folder, ()) is None


def test_other_training_data_are_refused(folder):
    with pytest.raises(ConfigError, match=r"seed 1 was trained on other data .*put the training data back"):
        recorded(folder, data="other")


@pytest.mark.parametrize(
    "changes",
    [
        {"left_out_sha256": BAGS.digest_of(1)},
        {"left_out_sha256": None},
        {"design": DESIGN.as_json() | {"seed": 1}},
        {"design": DESIGN.as_json() | {"seeds": [1, 3, 4]}},
        {"design": DESIGN.as_json() | {"out": 2}},
    ],
)
def test_a_record_that_does_not_tell_the_rows_that_are_drawn_is_refused(folder, changes):
    record(folder, 2, **changes)
    with pytest.raises(IntegrityError, match=r"member\.json: the rows that it tells .*delete .*seed_2 and train again"):
        recorded(folder)


@pytest.mark.parametrize("design", [7, {}, {"seeds": 1, "out": 1, "seed": 0}, {"seeds": ["a"], "out": 1, "seed": 0}])
def test_what_is_no_design_is_told(folder, design):
    record(folder, 2, design=design)
    with pytest.raises(IntegrityError, match="a member's record tells no design of bags, but"):
        recorded(folder)
